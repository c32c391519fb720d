"""VideoMAE: a plain vision transformer over tubelets, pre-trained by filling in masked videos.

Tong, Song, Wang, Wang: "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video
Pre-Training", NeurIPS 2022, https://arxiv.org/abs/2203.12602, section 3 and appendix A: joint space-time
attention, fixed sinusoidal positions, the mean of all tokens classified. The decoder of the pre-training is
not part of the recogniser; `models/masked_tubes.py` has it.

B batch, T time, C channels, H W pixels, L tokens, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import MEAN, STD, with_length
from kinesphere.models.family import Family
from kinesphere.models.layers.stochastic_depth import rising_rates
from kinesphere.models.layers.vit import Block, Tubelets, initialise, stage_names
from kinesphere.models.papers import cite
from kinesphere.models.tokens import Grid
from kinesphere.models.weights.keymap import Arguments, Ignore, KeyMap, Rename, Rule
from kinesphere.models.weights.maps.vit import huggingface_block, joined


def sinusoid(length: int, width: int) -> Tensor:
    """Positions `(1, length, width)`: sines in even and cosines in odd channels (Vaswani et al. 2017)."""
    channel = torch.arange(width, dtype=torch.float64)
    rate = 10000 ** (-(channel - channel % 2) / width)
    angle = torch.arange(length, dtype=torch.float64).unsqueeze(1) * rate
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).float().unsqueeze(0)


class Embedding(nn.Module):
    """Tubelets as tokens, with the positions of a sequence as long as the clip needs."""

    position: Tensor

    def __init__(self, width: int, tubelet: int, patch: int, length: int) -> None:
        super().__init__()
        self.tubelets = Tubelets(width, tubelet, patch)
        self.register_buffer("position", sinusoid(length, width), persistent=False)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        tokens: Tensor = self.tubelets(x_BTCHW)
        _, length, width = tokens.shape
        if length == self.position.shape[1]:
            return tokens + self.position
        return tokens + sinusoid(length, width).to(self.position)


class VideoMAE(nn.Module):
    """Tubelet tokens, transformer blocks, and a linear layer on the mean of the tokens.

    Args:
        num_classes: Number of outputs K.
        width: Width of the tokens.
        depth: Number of blocks.
        heads: Attention heads.
        tubelet: Frames per token.
        patch: Side of a token in pixels.
        length: Number of tokens whose positions are kept at hand, None for those of 16 frames of 224 pixels;
            other numbers work too.
        eps: Epsilon of the blocks' layer norms.
        mean_eps: Epsilon of the layer norm after the mean.
        drop_path: Rate of stochastic depth in the last block.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: int,
        depth: int,
        heads: int,
        tubelet: int = 2,
        patch: int = 16,
        length: int | None = None,
        eps: float = 1e-6,
        mean_eps: float = 1e-6,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        self.embed = Embedding(width, tubelet, patch, 1568 if length is None else length)
        rates = rising_rates(drop_path, depth)
        self.blocks = nn.Sequential(
            *(Block(width, heads, eps=eps, key_bias=False, drop_path=rate) for rate in rates)
        )
        self.norm = nn.LayerNorm(width, mean_eps)
        self.fc = nn.Linear(width, num_classes)
        initialise(self)

    def token_grid(self, x_BTCHW: Tensor, path: str) -> Grid:
        """Tokens along time, rows and columns, the same in all layers; see `Tokens`."""
        return self.embed.tubelets.grid(x_BTCHW)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x_BLD = self.blocks(self.embed(x_BTCHW))
        logits_BK: Tensor = self.fc(self.norm(x_BLD.mean(1)))
        return logits_BK


SPEC = ClipSpec(Sampling("dense", 16, 4), size=(224, 224), short_side_px=224, mean=MEAN, std=STD)


def frames_per_token(kernel: str, theirs: Mapping[str, Tensor]) -> Arguments:
    """Frames per token, from the shape of the first convolution."""
    return {"tubelet": theirs[kernel].shape[2]} if kernel in theirs else {}


def mmaction2_arguments(theirs: Mapping[str, Tensor]) -> Arguments:
    """Frames per token, and the number of tokens that the file's own position table is made for.

    Raises:
        InvalidCheckpoint: If that table is not the sinusoid, but was learnt.
    """
    found = frames_per_token("backbone.patch_embed.projection.weight", theirs)
    table = theirs.get("backbone.pos_embed")
    if table is not None:
        _, length, width = table.shape
        if not torch.allclose(table.float(), sinusoid(length, width), atol=1e-4):
            raise InvalidCheckpoint(
                "backbone.pos_embed holds learnt positions; VideoMAE's are a fixed sinusoid. "
                "Import weights that were trained with it."
            )
        found["length"] = length
    return found


def fit(spec: ClipSpec, arguments: Arguments) -> ClipSpec:
    """`spec` for a network whose positions at hand are those of longer or shorter clips of the same size."""
    length, tubelet, patch = (arguments.get(name) for name in ("length", "tubelet", "patch"))
    if not isinstance(length, int) or not isinstance(tubelet, int) or not isinstance(patch, int):
        return spec
    places = (spec.size[0] // patch) * (spec.size[1] // patch)
    return spec if places == 0 or length % places else with_length(spec, length // places * tubelet)


def huggingface(layout: str, q_bias: str, v_bias: str) -> KeyMap:
    """Hugging Face's names, which differ in where the two biases of the attention are."""
    theirs, ours = "videomae.encoder.layer.{i}.attention.attention", "blocks.{i}.attn"
    return KeyMap(
        layout,
        (
            Rename("videomae.embeddings.patch_embeddings.projection.*", "embed.tubelets.proj.*"),
            Rename(f"{theirs}.{q_bias}", f"{ours}.q_bias"),
            Rename(f"{theirs}.{v_bias}", f"{ours}.v_bias"),
            *joined(theirs, f"{ours}.qkv", ("query", "key", "value"), ("weight",)),
            *huggingface_block("videomae"),
            Rename("fc_norm.*", "norm.*"),
            Rename("classifier.*", "fc.*"),
        ),
        arguments={"eps": 1e-12, "mean_eps": 1e-5},
        infer=partial(frames_per_token, "videomae.embeddings.patch_embeddings.projection.weight"),
    )


def timm_names(prefix: str, patch: str, fc1: str, fc2: str) -> tuple[Rule, ...]:
    """The names that the authors took from timm, and MMAction2 from them."""
    block = f"{prefix}blocks.{{i}}"
    return (
        Rename(f"{prefix}patch_embed.{patch}.*", "embed.tubelets.proj.*"),
        Rename(f"{block}.{fc1}.*", "blocks.{i}.mlp.fc1.*"),
        Rename(f"{block}.{fc2}.*", "blocks.{i}.mlp.fc2.*"),
        Rename(f"{block}.*", "blocks.{i}.*"),
        Rename(f"{prefix}fc_norm.*", "norm.*"),
    )


MAPS = (
    huggingface("huggingface", "q_bias", "v_bias"),
    huggingface("transformers5", "query.bias", "value.bias"),
    KeyMap(
        "mmaction2",
        (
            Ignore("backbone.pos_embed", "the fixed sinusoid, which is computed"),
            *timm_names("backbone.", "projection", "mlp.layers.0.0", "mlp.layers.1"),
            Rename("cls_head.fc_cls.*", "fc.*"),
        ),
        infer=mmaction2_arguments,
    ),
    KeyMap(
        "videomae",
        (*timm_names("", "proj", "mlp.fc1", "mlp.fc2"), Rename("head.*", "fc.*")),
        infer=partial(frames_per_token, "patch_embed.proj.weight"),
    ),
)
VIDEOMAE = Family(
    name="videomae",
    paper=cite("2203.12602", "3, appendix A"),
    network=VideoMAE,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("dense", 4), size=(32, 32), short_side_px=32),),
    stages=stage_names(12, "norm"),
    cam_layers=(CamLayer("blocks.-1", "B THW C"),),
    explanation="weighted_attention",
    key_maps=MAPS,
    fit=fit,
    notes="Also VideoMAE V2 of the same size. Positions are computed for any length and size of clip.",
)


@VIDEOMAE.model("ViT-S over tubelets of two frames, pre-trained by filling in masked videos.")
def videomae_s(num_classes: int) -> VideoMAE:
    return VIDEOMAE.build(num_classes, width=384, depth=12, heads=6)


@VIDEOMAE.model("ViT-B over tubelets of two frames, pre-trained by filling in masked videos.")
def videomae_b(num_classes: int) -> VideoMAE:
    return VIDEOMAE.build(num_classes, width=768, depth=12, heads=12)


@VIDEOMAE.model(
    "ViT-L over tubelets of two frames, pre-trained by filling in masked videos.",
    stages=stage_names(24, "norm"),
)
def videomae_l(num_classes: int) -> VideoMAE:
    return VIDEOMAE.build(num_classes, width=1024, depth=24, heads=16, drop_path=0.2)


@VIDEOMAE.model("videomae for tests.", stages=stage_names(2, "norm"), tiny=True)
def videomae_tiny(num_classes: int) -> VideoMAE:
    return VIDEOMAE.build(num_classes, width=32, depth=2, heads=2, patch=8, length=32)
