"""V-JEPA 2: a vision transformer pre-trained to predict what it does not see, and an attentive probe.

Assran, Bardes, Fan, Garrido, Howes, … Rabbat, Ballas: "V-JEPA 2: Self-Supervised Video Models Enable
Understanding, Prediction and Planning", 2025, https://arxiv.org/abs/2506.09985, section 2.1 (the encoder
with rotary positions along time, rows and columns), section 5 (the probe: self-attention blocks, then one
learnt query that attends to all tokens). The predictor of the pre-training is not part of the recogniser.

B batch, T time, C channels, H W pixels, L tokens, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.attentive import EPS, AttentivePooler
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import MEAN, STD
from kinesphere.models.family import Family
from kinesphere.models.layers.vit import Block, Rotation, Tubelets, initialise, stage_names
from kinesphere.models.papers import cite
from kinesphere.models.tokens import Grid
from kinesphere.models.weights.keymap import Arguments, Ignore, KeyMap, Rename, Rule
from kinesphere.models.weights.maps.vit import joined


def rotation(grid: tuple[int, int, int], head_width: int, like: Tensor) -> Rotation:
    """Rotary positions on a grid of tokens: a third of the channels for each of time, rows and columns.

    Each third (an even number of channels; those that remain stay as they are) has `n / 2` frequencies
    10000^(-2i/n). As in the public weights, channel j of the third turns by frequency j mod n/2 together with
    its neighbour, which turns by the next one: pairs are not rotated rigidly.

    Args:
        grid: Tokens along time, rows and columns.
        head_width: Channels of one attention head.
        like: Gives type and device.

    Returns:
        A function of queries or keys `(B, heads, L, head_width)`.
    """
    third = 2 * (head_width // 3 // 2)
    frequency = 10000 ** (-torch.arange(third // 2, dtype=torch.float32, device=like.device) / (third // 2))
    places = torch.meshgrid(*(torch.arange(n, device=like.device) for n in grid), indexing="ij")
    angles = [place.reshape(-1, 1) * frequency.repeat(2) for place in places]
    still = torch.zeros(angles[0].shape[0], head_width - 3 * third, device=like.device)
    angle_LD = torch.cat((*angles, still), 1)
    cos, sin = angle_LD.cos().to(like.dtype), angle_LD.sin().to(like.dtype)

    def rotate(x: Tensor) -> Tensor:
        even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
        return x * cos + torch.stack((-odd, even), -1).flatten(-2) * sin

    return rotate


class VJEPA2(nn.Module):
    """Tubelet tokens, transformer blocks with rotary positions, attentive probe, linear layer.

    Args:
        num_classes: Number of outputs K.
        width: Width of the tokens.
        depth: Number of blocks.
        heads: Attention heads.
        tubelet: Frames per token.
        patch: Side of a token in pixels.
        pooler_depth: Self-attention blocks of the probe.
        pooler_eps: Added to the variance in the probe's layer norms: 1e-5 by the authors, 1e-6 on the
            Hugging Face hub.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: int = 1024,
        depth: int = 24,
        heads: int = 16,
        tubelet: int = 2,
        patch: int = 16,
        pooler_depth: int = 3,
        pooler_eps: float = EPS,
    ) -> None:
        super().__init__()
        self.head_width = width // heads
        self.embed = Tubelets(width, tubelet, patch)
        self.blocks = nn.ModuleList(Block(width, heads, eps=EPS) for _ in range(depth))
        self.norm = nn.LayerNorm(width, EPS)
        self.pooler = AttentivePooler(width, heads, pooler_depth, pooler_eps)
        self.fc = nn.Linear(width, num_classes)
        initialise(self)

    def token_grid(self, x_BTCHW: Tensor, path: str) -> Grid:
        """Tokens along time, rows and columns, the same in all layers; see `Tokens`."""
        return self.embed.grid(x_BTCHW)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.embed(x_BTCHW)
        rotate = rotation(self.embed.grid(x_BTCHW), self.head_width, x)
        for block in self.blocks:
            x = block(x, rotate)
        logits_BK: Tensor = self.fc(self.pooler(self.norm(x)))
        return logits_BK


SPEC = ClipSpec(Sampling("dense", 16, 4), size=(256, 256), short_side_px=292, mean=MEAN, std=STD)


def sizes(theirs: Mapping[str, Tensor]) -> Arguments:
    """Frames and side of a token, and depth of the probe."""
    found: Arguments = {}
    for key, tensor in theirs.items():
        if key.endswith(("patch_embed.proj.weight", "patch_embeddings.proj.weight")) and tensor.dim() == 5:
            found |= {"tubelet": tensor.shape[2], "patch": tensor.shape[3]}
    if any(key.removeprefix("probe.").startswith("pooler.") for key in theirs):
        probe = ("pooler.self_attention_layers.", "pooler.blocks.")
        own = (key.removeprefix("probe.") for key in theirs)
        found["pooler_depth"] = len({key.split(".")[2] for key in own if key.startswith(probe)})
    return found


def hub_encoder(prefix: str) -> tuple[Rule, ...]:
    """Rules for the encoder in the files of the Hugging Face hub, whose names there begin with `prefix`."""
    layer = f"{prefix}encoder.layer.{{i}}"
    return (
        Ignore(f"{prefix}predictor.*", "the predictor of the pre-training"),
        Rename(f"{prefix}encoder.embeddings.patch_embeddings.proj.*", "embed.proj.*"),
        *joined(f"{layer}.attention", "blocks.{i}.attn.qkv", ("query", "key", "value")),
        Rename(f"{layer}.attention.proj.*", "blocks.{i}.attn.proj.*"),
        Rename(f"{layer}.*", "blocks.{i}.*"),
        Rename(f"{prefix}encoder.layernorm.*", "norm.*"),
    )


def authors_encoder(prefix: str) -> tuple[Rule, ...]:
    """Rules for the encoder in the authors' files."""
    return (
        Ignore(f"{prefix}pos_embed", "a table of positions, in whose stead there are rotary ones"),
        Rename(f"{prefix}patch_embed.proj.*", "embed.proj.*"),
        Rename(f"{prefix}blocks.{{i}}.*", "blocks.{i}.*"),
        Rename(f"{prefix}norm.*", "norm.*"),
    )


HUB_PROBE, HUB_CROSS = "pooler.self_attention_layers.{i}", "pooler.cross_attention_layer"
CROSS = "probe.pooler.cross_attention_block"
MAPS = (
    KeyMap(
        "huggingface",
        (
            *hub_encoder("vjepa2."),
            *joined(f"{HUB_PROBE}.self_attn", "pooler.blocks.{i}.attn.qkv", ("q_proj", "k_proj", "v_proj")),
            Rename(f"{HUB_PROBE}.self_attn.out_proj.*", "pooler.blocks.{i}.attn.proj.*"),
            Rename(f"{HUB_PROBE}.layer_norm1.*", "pooler.blocks.{i}.norm1.*"),
            Rename(f"{HUB_PROBE}.layer_norm2.*", "pooler.blocks.{i}.norm2.*"),
            Rename(f"{HUB_PROBE}.mlp.*", "pooler.blocks.{i}.mlp.*"),
            Rename("pooler.query_tokens", "pooler.query"),
            Rename(f"{HUB_CROSS}.cross_attn.q_proj.*", "pooler.q.*"),
            *joined(f"{HUB_CROSS}.cross_attn", "pooler.kv", ("k_proj", "v_proj")),
            Rename(f"{HUB_CROSS}.layer_norm1.*", "pooler.norm1.*"),
            Rename(f"{HUB_CROSS}.layer_norm2.*", "pooler.norm2.*"),
            Rename(f"{HUB_CROSS}.mlp.*", "pooler.mlp.*"),
            Rename("classifier.*", "fc.*"),
        ),
        infer=sizes,
    ),
    KeyMap(
        "vjepa2",
        (
            *authors_encoder("encoder."),
            Rename("probe.pooler.query_tokens", "pooler.query"),
            Rename("probe.pooler.blocks.{i}.*", "pooler.blocks.{i}.*"),
            Rename(f"{CROSS}.xattn.q.*", "pooler.q.*"),
            Rename(f"{CROSS}.xattn.kv.*", "pooler.kv.*"),
            Rename(f"{CROSS}.*", "pooler.*"),
            Rename("probe.linear.*", "fc.*"),
        ),
        arguments={"pooler_eps": 1e-5},
        infer=sizes,
    ),
    KeyMap("huggingface_encoder", hub_encoder(""), infer=sizes, backbone_only=True, fresh=("pooler",)),
    KeyMap("vjepa2_encoder", authors_encoder(""), infer=sizes, backbone_only=True, fresh=("pooler",)),
)


FAMILY = Family(
    name="vjepa2",
    paper=cite("2506.09985", "2.1, 5"),
    network=VJEPA2,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("dense", 4), size=(32, 32), short_side_px=32),),
    stages=stage_names(24, "norm", "pooler"),
    cam_layers=(CamLayer("norm", "B THW C"),),
    explanation="weighted_attention",
    classes=174,
    key_maps=MAPS,
    notes="Compared with recorded results of both publishers' code for small random networks. An encoder "
    "without a probe is read as a backbone; `model.freeze=norm` trains the probe alone.",
)


@FAMILY.model(
    "ViT-L with rotary positions, pre-trained to predict hidden features, under an attentive probe."
)
def vjepa2_l(num_classes: int) -> VJEPA2:
    return FAMILY.build(num_classes)


@FAMILY.model("vjepa2 for tests.", stages=stage_names(2, "norm", "pooler"), tiny=True)
def vjepa2_tiny(num_classes: int) -> VJEPA2:
    return FAMILY.build(num_classes, width=48, depth=2, heads=2, patch=8, pooler_depth=1)
