"""Public encoders that are recognised by the names of their tensors and not read: which they are, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Encoder:
    """A published network that no key map reads.

    Attributes:
        name: What it is called.
        keys: Ends of names; a file that has one for each is of it.
        sized_by: End of the name of a tensor whose first side is the width.
        sizes: The published sizes by their width.
        advice: Why it is not read, and what to do.
        without: Ends of names that a file of it has not.
    """

    name: str
    keys: tuple[str, ...]
    sized_by: str
    sizes: Mapping[int, str]
    advice: str
    without: tuple[str, ...] = ()

    def describe(self, state: Mapping[str, Tensor]) -> str:
        """Its name with the size of the one in a file."""
        sized = (tensor for key, tensor in state.items() if key.endswith(self.sized_by))
        widths = {tensor.shape[0] for tensor in sized if tensor.dim()}
        known = [self.sizes[width] for width in widths if width in self.sizes]
        if known:
            return f"{self.name} {known[0]}"
        return f"{self.name} (width {', '.join(map(str, sorted(widths)))})" if widths else self.name


_UNPROVED = (
    "is not read here: no recorded result of the publisher's network proves a key map for it, and unproved "
    "weights would give wrong answers silently."
)
UNREAD = (
    Encoder(
        "V-JEPA 2.1",
        ("norms_block.0.weight", "video_mod_embed"),
        "norms_block.0.weight",
        {768: "ViT-B/16", 1024: "ViT-L/16", 1408: "ViT-g/16", 1664: "ViT-G/16"},
        f"{_UNPROVED} V-JEPA 2 (ViT-L/16) is read as vjepa2_l.",
    ),
    Encoder(
        "InternVideo2",
        ("blocks.0.attn.q_norm.weight", "blocks.0.ls1.gamma", "clip_projector.norm1_q.weight"),
        "blocks.0.norm1.weight",
        {384: "S/14", 768: "B/14", 1024: "L/14", 1408: "1B", 3200: "6B"},
        f"{_UNPROVED} VideoMAE, UniFormer and V-JEPA 2 are among the transformers that are "
        "(`kinesphere models`).",
    ),
    Encoder(
        "V-JEPA 2, an attentive probe without its encoder",
        ("pooler.query_tokens", "pooler.cross_attention_block.xattn.kv.weight"),
        "pooler.cross_attention_block.norm1.weight",
        {},
        "names no video by itself. The hub's files of vjepa2_l.ssv2 and vjepa2_l.diving48 hold encoder and "
        "probe (`kinesphere models vjepa2_l`); or train a probe on the encoder in vitl.pt with "
        "`kinesphere train DATA model.name=vjepa2_l model.pretrained=vitl.pt model.freeze=norm`.",
        without=("patch_embed.proj.weight",),
    ),
)


def unread(state: Mapping[str, Tensor]) -> str:
    """A sentence on which encoder the tensors of a file are, and what to do; empty where it is none of these.

    Args:
        state: Named tensors, under whatever prefix.
    """
    for encoder in UNREAD:
        if all(any(key.endswith(end) for key in state) for end in encoder.keys) and not any(
            key.endswith(encoder.without) for key in state if encoder.without
        ):
            return f" Its tensors are those of {encoder.describe(state)}, which {encoder.advice}"
    return ""
