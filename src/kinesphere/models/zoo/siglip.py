"""SigLIP on the frames of a clip: as CLIP, with pairs learnt one by one and frames pooled by attention.

Zhai, Mustafa, Kolesnikov, Beyer: "Sigmoid Loss for Language Image Pre-Training", ICCV 2023,
https://arxiv.org/abs/2303.15343, section 3; the pooling is that of Zhai, Kolesnikov, Houlsby, Beyer: "Scaling
Vision Transformers", CVPR 2022, https://arxiv.org/abs/2106.04560.

B batch, T time, C channels, H W pixels, N frames of all clips, L tokens, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import fit_length_and_size
from kinesphere.models.family import Family
from kinesphere.models.layers.vit import Block, Gelu, Mlp, initialise, stage_names
from kinesphere.models.layers.words import FramePatches, FramesAndWords, Temperature, TextTower
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Arguments, KeyMap, Rename, Split
from kinesphere.models.weights.maps.words import HEAD, LOOKS, frames, made_for, texts
from kinesphere.models.words import WEAK_ON_MOTION, Words
from kinesphere.models.zoo.clip import mean_direction

EPS = 1e-6
PROMPTS = ("this is a photo of {}", "a photo of a person {}", "a video of a person {}", "a person {}")


class Pooler(nn.Module):
    """One learnt query attends to all patches of a frame; a perceptron is added to what it sees."""

    def __init__(self, width: int, heads: int, *, ratio: int, gelu: Gelu) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.zeros(1, 1, width))
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.proj = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, EPS)
        self.mlp = Mlp(width, ratio * width, gelu=gelu)
        nn.init.normal_(self.query, std=0.02)

    def forward(self, x_NLD: Tensor) -> Tensor:
        """Embeddings `(N, D)` of frames."""
        query = self.query.expand(len(x_NLD), -1, -1)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.q(query), self.k(x_NLD), self.v(x_NLD))
        )
        seen = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        out_ND: Tensor = (seen + self.mlp(self.norm(seen)))[:, 0]
        return out_ND


class SigLIP(FramesAndWords):
    """A vision transformer on each frame; the mean of the frames' embeddings is compared with each class.

    Rows of `fc` are the embeddings of the classes, of which the directions count.

    Args:
        num_classes: Number of outputs K.
        width: Width of the tokens and embeddings.
        depth: Number of blocks.
        heads: Attention heads.
        patch: Side of a patch in pixels.
        size_px: Side of the frames in pixels.
        ratio: Width of the perceptrons, in widths of the tokens.
        gelu: Their activation.
    """

    snippet = 1

    def __init__(
        self,
        num_classes: int,
        *,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        patch: int = 16,
        size_px: int = 224,
        ratio: int = 4,
        gelu: Gelu = "tanh",
    ) -> None:
        super().__init__()
        self.embed = FramePatches(width, patch, size_px, class_token=False, eps=EPS)
        self.blocks = nn.Sequential(
            *(Block(width, heads, eps=EPS, gelu=gelu, ratio=ratio) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width, EPS)
        self.pool = Pooler(width, heads, ratio=ratio, gelu=gelu)
        self.fc = nn.Linear(width, num_classes, bias=False)
        self.temperature = Temperature(10.0, -10.0)
        initialise(self)

    def look(self, x_BTCHW: Tensor) -> Tensor:
        """The clip's embedding `(B, 1, D)`; see `ComparesWithWords`."""
        frames_ND = self.frame_features(x_BTCHW.flatten(0, 1))
        return mean_direction(frames_ND.unflatten(0, x_BTCHW.shape[:2])).unsqueeze(1)

    def frame_features(self, x_NCHW: Tensor) -> Tensor:
        """Embeddings `(N, D)` of frames; see `FrameWise`."""
        embeddings_ND: Tensor = self.pool(self.norm(self.blocks(self.embed(x_NCHW))))
        return embeddings_ND

    def from_features(self, f_BTD: Tensor) -> Tensor:
        """Logits `(B, K)`; see `FrameWise`."""
        return self.answer(mean_direction(f_BTD).unsqueeze(1))


def infer(theirs: Mapping[str, Tensor]) -> Arguments:
    return made_for(theirs, class_tokens=0)


POOL = f"{LOOKS}.head"
RULES = frames(
    Rename(f"{POOL}.probe", "pool.query"),
    *(
        Split(f"{POOL}.attention.in_proj_{leaf}", tuple(f"pool.{part}.{leaf}" for part in "qkv"))
        for leaf in ("weight", "bias")
    ),
    Rename(f"{POOL}.attention.out_proj.*", "pool.proj.*"),
    Rename(f"{POOL}.layernorm.*", "pool.norm.*"),
    Rename(f"{POOL}.mlp.*", "pool.mlp.*"),
    Rename("logit_bias", "temperature.bias"),
)
SPEC = ClipSpec(
    Sampling("uniform", 8), size=(224, 224), resize="stretch", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)
SIGLIP = Family(
    name="siglip",
    paper=cite("2303.15343", "3"),
    network=SigLIP,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("uniform", 2), size=(32, 32)),),
    stages=stage_names(12),
    frame_wise=True,
    cam_layers=(CamLayer("blocks.-1", "BT HW C"),),
    explanation="weighted_attention",
    key_maps=(KeyMap("huggingface", RULES, infer=infer),),
    fit=partial(fit_length_and_size, side="size_px"),
    fixed_size=True,
    words=Words(
        partial(TextTower, gelu="tanh", eps=EPS, causal=False, bias=True), texts(HEAD), PROMPTS, plain=True
    ),
    notes=f"{WEAK_ON_MOTION} Answers are fractions among the classes named, not its pairwise probabilities.",
)


@SIGLIP.model("ViT-B on patches of 16 pixels of single frames, whose classes are named in words.")
def siglip_b16(num_classes: int) -> SigLIP:
    return SIGLIP.build(num_classes)


@SIGLIP.model("siglip for tests.", stages=stage_names(2), tiny=True)
def siglip_tiny(num_classes: int) -> SigLIP:
    return SIGLIP.build(num_classes, width=32, depth=2, heads=2, patch=8, size_px=32, ratio=2)
