"""CLIP on the frames of a clip: the mean of what single frames show, compared with words.

Radford et al.: "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
https://arxiv.org/abs/2103.00020, sections 2.4 and 3.1; frames of a clip are averaged as in Luo et al.:
"CLIP4Clip: An Empirical Study of CLIP for End to End Video Clip Retrieval", Neurocomputing 2022,
https://arxiv.org/abs/2104.08860, section 3.3, without parameters.

B batch, T time, C channels, H W pixels, N frames of all clips, L tokens, D width, E width of the embeddings,
K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import fit_length_and_size
from kinesphere.models.family import Family
from kinesphere.models.layers.vit import Block, Gelu, initialise, stage_names
from kinesphere.models.layers.words import FramePatches, FramesAndWords, Temperature, TextTower
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Arguments, KeyMap, Rename
from kinesphere.models.weights.maps.words import LOOKS, PROJECTION, frames, made_for, texts
from kinesphere.models.words import WEAK_ON_MOTION, Words

EPS = 1e-5
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
PROMPTS = (
    "a photo of {}.",
    "a photo of a person {}.",
    "a photo of a person doing {}.",
    "a video of {}.",
    "a video of a person {}.",
    "a video of a person doing {}.",
    "a person {}.",
)


def mean_direction(frames_BTE: Tensor) -> Tensor:
    """The mean `(B, E)` of the directions of all frames, of length 1."""
    return F.normalize(F.normalize(frames_BTE, dim=-1).mean(1), dim=-1)


class CLIP(FramesAndWords):
    """A vision transformer on each frame; the mean of the frames' embeddings is compared with each class.

    Rows of `fc` are the embeddings of the classes, of which the directions count.

    Args:
        num_classes: Number of outputs K.
        width: Width of the tokens.
        depth: Number of blocks.
        heads: Attention heads.
        patch: Side of a patch in pixels.
        size_px: Side of the frames in pixels.
        embedding: Width E of the embeddings.
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
        patch: int = 32,
        size_px: int = 224,
        embedding: int = 512,
        ratio: int = 4,
        gelu: Gelu = "quick",
    ) -> None:
        super().__init__()
        self.embed = FramePatches(width, patch, size_px, class_token=True, eps=EPS)
        self.blocks = nn.Sequential(
            *(Block(width, heads, eps=EPS, gelu=gelu, ratio=ratio) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width, EPS)
        self.proj = nn.Linear(width, embedding, bias=False)
        self.fc = nn.Linear(embedding, num_classes, bias=False)
        self.temperature = Temperature(1 / 0.07)
        initialise(self)

    def look(self, x_BTCHW: Tensor) -> Tensor:
        """The clip's embedding `(B, 1, E)`; see `ComparesWithWords`."""
        frames_NE = self.frame_features(x_BTCHW.flatten(0, 1))
        return mean_direction(frames_NE.unflatten(0, x_BTCHW.shape[:2])).unsqueeze(1)

    def frame_features(self, x_NCHW: Tensor) -> Tensor:
        """Embeddings `(N, E)` of frames; see `FrameWise`."""
        embeddings_NE: Tensor = self.proj(self.norm(self.blocks(self.embed(x_NCHW))[:, 0]))
        return embeddings_NE

    def from_features(self, f_BTE: Tensor) -> Tensor:
        """Logits `(B, K)`; see `FrameWise`."""
        return self.answer(mean_direction(f_BTE).unsqueeze(1))


def infer(theirs: Mapping[str, Tensor]) -> Arguments:
    return made_for(theirs, class_tokens=1)


SPEC = ClipSpec(Sampling("uniform", 8), size=(224, 224), short_side_px=224, mean=MEAN, std=STD)
CLIP_FAMILY = Family(
    name="clip",
    paper=cite("2103.00020", "2.4, 3.1"),
    network=CLIP,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("uniform", 2), size=(32, 32), short_side_px=32),),
    stages=stage_names(12),
    frame_wise=True,
    cam_layers=(CamLayer("blocks.-1.norm1", "BT 1+HW C"),),
    explanation="weighted_attention",
    key_maps=(KeyMap("huggingface", frames(Rename(f"{LOOKS}.pre_layrnorm.*", "embed.norm.*")), infer=infer),),
    fit=partial(fit_length_and_size, side="size_px"),
    fixed_size=True,
    words=Words(
        partial(TextTower, gelu="quick", eps=EPS, causal=True, bias=False), texts(PROJECTION), PROMPTS
    ),
    notes=WEAK_ON_MOTION,
)


@CLIP_FAMILY.model("ViT-B on patches of 32 pixels of single frames, whose classes are named in words.")
def clip_vit_b32(num_classes: int) -> CLIP:
    return CLIP_FAMILY.build(num_classes)


@CLIP_FAMILY.model("ViT-B on patches of 16 pixels of single frames, whose classes are named in words.")
def clip_vit_b16(num_classes: int) -> CLIP:
    return CLIP_FAMILY.build(num_classes, patch=16)


@CLIP_FAMILY.model("clip for tests.", stages=stage_names(2), tiny=True)
def clip_tiny(num_classes: int) -> CLIP:
    return CLIP_FAMILY.build(
        num_classes, width=48, depth=2, heads=4, patch=8, size_px=32, embedding=24, ratio=2
    )
