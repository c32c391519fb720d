"""X-CLIP: CLIP whose frames send each other messages, and whose classes are named anew for each video.

Ni, Peng, Chen, Zhang, Meng, Fu, Xiang, Ling: "Expanding Language-Image Pretrained Models for General Video
Recognition", ECCV 2022, https://arxiv.org/abs/2208.02816, sections 3.2 (cross-frame communication and
multi-frame integration) and 3.3 (video-specific prompts).

B batch, T time, C channels, H W pixels, N frames of all clips, L tokens, P patches of a frame, D width,
E width of the embeddings, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import MEAN, STD, with_length, with_size
from kinesphere.models.family import Family
from kinesphere.models.layers.vit import Attention, Block, Gelu, Mlp, QuickGelu, initialise, stage_names
from kinesphere.models.layers.words import FramePatches, FramesAndWords, Temperature, TextTower
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Arguments, KeyMap, Rename, Transform
from kinesphere.models.weights.maps.words import (
    LOOKS,
    PROJECTION,
    attention,
    blocks,
    frames,
    made_for,
    texts,
)
from kinesphere.models.words import WEAK_ON_MOTION, Words
from kinesphere.models.zoo.clip import EPS


class MessageBlock(nn.Module):
    """A block on single frames, with a token more that has heard of the other frames (section 3.2)."""

    def __init__(self, width: int, heads: int, ratio: int, gelu: Gelu) -> None:
        super().__init__()
        self.message_fc = nn.Linear(width, width)
        self.message_norm = nn.LayerNorm(width, EPS)
        self.message_attn = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width, EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, EPS)
        self.mlp = Mlp(width, ratio * width, gelu=gelu)

    def forward(self, x_NLD: Tensor, length: int) -> Tensor:
        """Tokens `(N, L, D)` of clips of `length` frames, class token first."""
        told_BTD = self.message_fc(x_NLD[:, 0]).unflatten(0, (-1, length))
        told_BTD = told_BTD + self.message_attn(self.message_norm(told_BTD))
        message_N1D = told_BTD.flatten(0, 1).unsqueeze(1)
        # The layer norm itself runs on the frame's tokens alone: those are what maps over the frame show.
        heard = F.layer_norm(message_N1D, message_N1D.shape[-1:], self.norm1.weight, self.norm1.bias, EPS)
        mixed = self.attn(torch.cat((self.norm1(x_NLD), heard), 1))
        x = x_NLD + mixed[:, :-1]
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Integration(nn.Module):
    """Transformer blocks over the embeddings of the frames, which are added to them and averaged."""

    def __init__(self, embedding: int, length: int, blocks: Iterable[Block]) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, length, embedding))
        self.blocks = nn.Sequential(*blocks)
        nn.init.normal_(self.position, std=0.02)

    def forward(self, frames_BTE: Tensor) -> Tensor:
        """Embeddings `(B, E)` of clips."""
        out_BE: Tensor = (self.blocks(frames_BTE + self.position) + frames_BTE).mean(1)
        return out_BE


class CrossAttention(nn.Module):
    """Texts attend to patches; queries, keys and values have no bias."""

    def __init__(self, embedding: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(embedding, embedding, bias=False) for _ in range(3))
        self.proj = nn.Linear(embedding, embedding)

    def forward(self, texts_BKE: Tensor, patches_BPE: Tensor) -> Tensor:
        """What the texts `(B, K, E)` see."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.q(texts_BKE), self.k(patches_BPE), self.v(patches_BPE))
        )
        out_BKE: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out_BKE


class PromptLayer(nn.Module):
    """Cross-attention and perceptron, each behind a layer norm and added to its input."""

    def __init__(self, embedding: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embedding, EPS)
        self.attn = CrossAttention(embedding, heads)
        self.norm2 = nn.LayerNorm(embedding, EPS)
        self.mlp = nn.Sequential(
            nn.Linear(embedding, 4 * embedding), QuickGelu(), nn.Linear(4 * embedding, embedding)
        )

    def forward(self, texts_BKE: Tensor, patches_BPE: Tensor) -> Tensor:
        x = texts_BKE + self.attn(self.norm1(texts_BKE), patches_BPE)
        out_BKE: Tensor = x + self.mlp(self.norm2(x))
        return out_BKE


class Prompts(nn.Module):
    """Embeddings of the classes as they are named for one video (section 3.3)."""

    def __init__(self, width: int, embedding: int, heads: int) -> None:
        super().__init__()
        self.patch_norm = nn.LayerNorm(width, EPS)
        self.proj = nn.Linear(width, embedding, bias=False)
        self.norm = nn.LayerNorm(embedding, EPS)
        self.layers = nn.ModuleList(PromptLayer(embedding, heads) for _ in range(2))
        self.alpha = nn.Parameter(torch.full((embedding,), 0.1))

    def patches(self, patches_BTPD: Tensor) -> Tensor:
        """The patches `(B, P, E)` that the classes look at: each the mean of all frames."""
        out_BPE: Tensor = self.norm(self.proj(self.patch_norm(patches_BTPD)).mean(1))
        return out_BPE

    def forward(self, classes_KE: Tensor, patches_BPE: Tensor) -> Tensor:
        """Embeddings `(B, K, E)`: each class's own, and something of what it is seen as."""
        own_BKE = classes_KE.expand(len(patches_BPE), -1, -1)
        seen_BKE = own_BKE
        for layer in self.layers:
            seen_BKE = layer(seen_BKE, patches_BPE)
        return own_BKE + self.alpha * seen_BKE


class XCLIP(FramesAndWords):
    """Blocks with messages between frames; the clip's embedding is compared with each class's.

    Rows of `fc` are the embeddings of the classes.

    Args:
        num_classes: Number of outputs K.
        width: Width of the tokens.
        depth: Number of blocks.
        heads: Attention heads.
        patch: Side of a patch in pixels.
        size_px: Side of the frames in pixels.
        frames: Frames of a clip.
        embedding: Width E of the embeddings.
        embedding_heads: Attention heads behind the frames' encoder.
        integration: Number of blocks over the frames' embeddings.
        ratio: Width of the perceptrons, in widths of the tokens.
        gelu: Their activation.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        patch: int = 32,
        size_px: int = 224,
        frames: int = 8,
        embedding: int = 512,
        embedding_heads: int = 8,
        integration: int = 1,
        ratio: int = 4,
        gelu: Gelu = "quick",
    ) -> None:
        super().__init__()
        self.embed = FramePatches(width, patch, size_px, class_token=True, eps=EPS)
        self.blocks = nn.ModuleList(MessageBlock(width, heads, ratio, gelu) for _ in range(depth))
        self.norm = nn.LayerNorm(width, EPS)
        self.proj = nn.Linear(width, embedding, bias=False)
        self.integration = Integration(
            embedding,
            frames,
            (Block(embedding, embedding_heads, eps=EPS, gelu=gelu, ratio=ratio) for _ in range(integration)),
        )
        self.prompts = Prompts(width, embedding, embedding_heads)
        self.fc = nn.Linear(embedding, num_classes, bias=False)
        self.temperature = Temperature(1 / 0.07)
        initialise(self)

    def look(self, x_BTCHW: Tensor) -> Tensor:
        """The clip's embedding and, behind it, its patches, `(B, 1 + P, E)`; see `ComparesWithWords`."""
        length = x_BTCHW.shape[1]
        x_NLD = self.embed(x_BTCHW.flatten(0, 1))
        for block in self.blocks:
            x_NLD = block(x_NLD, length)
        frames_BTE = self.proj(self.norm(x_NLD[:, 0])).unflatten(0, (-1, length))
        clip_BE = F.normalize(self.integration(frames_BTE), dim=-1)
        patches_BPE = self.prompts.patches(x_NLD[:, 1:].unflatten(0, (-1, length)))
        return torch.cat((clip_BE.unsqueeze(1), patches_BPE), 1)

    def compare(self, seen_BSE: Tensor, classes_KE: Tensor) -> Tensor:
        """Cosines `(B, K)`; see `ComparesWithWords`."""
        named_BKE = self.prompts(classes_KE, seen_BSE[:, 1:])
        return (F.normalize(named_BKE, dim=-1) @ seen_BSE[:, 0].unsqueeze(-1)).squeeze(-1)


def infer(theirs: Mapping[str, Tensor]) -> Arguments:
    """Size and number of the frames that a state is made for."""
    position = theirs.get("mit.position_embedding")
    length: Arguments = {} if position is None else {"frames": position.shape[1]}
    return made_for(theirs, class_tokens=1) | length


def fit(spec: ClipSpec, arguments: Arguments) -> ClipSpec:
    """`spec` for a network made for other clips."""
    length, size_px = arguments.get("frames"), arguments.get("size_px")
    if isinstance(length, int):
        spec = with_length(spec, length)
    return with_size(spec, (size_px, size_px)) if isinstance(size_px, int) else spec


TRANSPOSED = Transform(lambda theirs: theirs.T.contiguous(), lambda ours: ours.T.contiguous())
BLOCK, DECODER = f"{LOOKS}.encoder.layers.{{i}}", "prompts_generator.decoder.{i}"
RULES = frames(
    Rename(f"{LOOKS}.pre_layernorm.*", "embed.norm.*"),
    Rename(f"{BLOCK}.message_fc.*", "blocks.{i}.message_fc.*"),
    Rename(f"{BLOCK}.message_ln.*", "blocks.{i}.message_norm.*"),
    *attention(f"{BLOCK}.message_attn", "blocks.{i}.message_attn"),
    Rename("mit.position_embedding", "integration.position"),
    *blocks("mit.encoder.layers.{i}", "integration.blocks.{i}"),
    Rename("prompts_visual_layernorm.*", "prompts.patch_norm.*"),
    Rename("prompts_visual_projection", "prompts.proj.weight", TRANSPOSED),
    Rename("prompts_generator.layernorm.*", "prompts.norm.*"),
    Rename("prompts_generator.alpha", "prompts.alpha"),
    *(
        Rename(f"{DECODER}.cross_attn.{part}_proj.weight", f"prompts.layers.{{i}}.attn.{part}.weight")
        for part in "qkv"
    ),
    Rename(f"{DECODER}.cross_attn.proj.*", "prompts.layers.{i}.attn.proj.*"),
    Rename(f"{DECODER}.norm1.*", "prompts.layers.{i}.norm1.*"),
    Rename(f"{DECODER}.norm3.*", "prompts.layers.{i}.norm2.*"),
    Rename(f"{DECODER}.mlp.0.*", "prompts.layers.{i}.mlp.0.*"),
    Rename(f"{DECODER}.mlp.3.*", "prompts.layers.{i}.mlp.2.*"),
)
# ImageNet's mean and deviation, not CLIP's: what the publisher's own pipeline of videos takes.
SPEC = ClipSpec(Sampling("uniform", 8), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)
XCLIP_FAMILY = Family(
    name="xclip",
    paper=cite("2208.02816", "3.2, 3.3"),
    network=XCLIP,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(size=(32, 32), short_side_px=32),),
    stages=stage_names(12),
    cam_layers=(CamLayer("blocks.-1.norm1", "BT 1+HW C"),),
    key_maps=(KeyMap("huggingface", RULES, infer=infer),),
    fit=fit,
    fixed_length=True,
    fixed_size=True,
    words=Words(
        partial(TextTower, gelu="quick", eps=EPS, causal=True, bias=False), texts(PROJECTION), ("{}",)
    ),
    notes=WEAK_ON_MOTION,
)


@XCLIP_FAMILY.model("ViT-B on patches of 32 pixels, 8 frames that send messages; classes are named in words.")
def xclip_b32(num_classes: int) -> XCLIP:
    return XCLIP_FAMILY.build(num_classes)


@XCLIP_FAMILY.model("ViT-B on patches of 16 pixels, 8 frames that send messages; classes are named in words.")
def xclip_b16(num_classes: int) -> XCLIP:
    return XCLIP_FAMILY.build(num_classes, patch=16)


@XCLIP_FAMILY.model("xclip for tests.", stages=stage_names(3), tiny=True)
def xclip_tiny(num_classes: int) -> XCLIP:
    return XCLIP_FAMILY.build(
        num_classes,
        width=48,
        depth=3,
        heads=4,
        patch=16,
        size_px=32,
        embedding=24,
        embedding_heads=4,
        ratio=2,
    )
