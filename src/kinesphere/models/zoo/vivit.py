"""ViViT: a vision transformer over the tubelets of a clip.

Arnab, Dehghani, Heigold, Sun, Lučić, Schmid: "ViViT: A Video Vision Transformer", ICCV 2021,
https://arxiv.org/abs/2103.15691, sections 3.2 and 3.3: tubelet embedding and model 1, in which all tokens
of all frames attend to each other.

B batch, T time, C channels, H W pixels, L tokens, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import with_length, with_size
from kinesphere.models.family import Family
from kinesphere.models.layers.stochastic_depth import rising_rates
from kinesphere.models.layers.vit import Block, Tubelets, initialise, stage_names
from kinesphere.models.papers import cite
from kinesphere.models.tokens import Grid
from kinesphere.models.weights.keymap import Arguments, KeyMap, Rename, Rule
from kinesphere.models.weights.maps.vit import huggingface_block, joined


class Embedding(nn.Module):
    """Tubelets as tokens with learnt positions, and a class token before them.

    Args:
        width: Width of the tokens.
        tubelet: Frames per token.
        patch: Side of a token in pixels.
        grid: Tokens along time, rows and columns that the positions are made for; clips with other
            numbers take positions interpolated between them.
    """

    def __init__(self, width: int, tubelet: int, patch: int, grid: tuple[int, int, int]) -> None:
        super().__init__()
        self.grid = grid
        length, rows, columns = grid
        self.tubelets = Tubelets(width, tubelet, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, 1 + length * rows * columns, width))
        nn.init.normal_(self.cls, std=0.02)
        nn.init.normal_(self.position, std=0.02)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        """Tokens `(B, 1 + L, D)`, class token first."""
        cls = self.cls.expand(len(x_BTCHW), -1, -1)
        tokens = torch.cat((cls, self.tubelets(x_BTCHW)), 1)
        return tokens + self._positions(self.tubelets.grid(x_BTCHW))

    def _positions(self, grid: tuple[int, int, int]) -> Tensor:
        if grid == self.grid:
            return self.position
        box = self.position[:, 1:].transpose(1, 2).unflatten(2, self.grid)
        between = F.interpolate(box, grid, mode="trilinear").flatten(2).transpose(1, 2)
        return torch.cat((self.position[:, :1], between), 1)


class ViViT(nn.Module):
    """Tubelet tokens, transformer blocks, and a linear layer on the class token.

    Args:
        num_classes: Number of outputs K.
        width: Width of the tokens.
        depth: Number of blocks.
        heads: Attention heads.
        tubelet: Frames per token.
        patch: Side of a token in pixels.
        grid: Tokens along time, rows and columns that the positions are made for.
        drop_path: Rate of stochastic depth in the last block.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        tubelet: int = 2,
        patch: int = 16,
        grid: tuple[int, int, int] = (16, 14, 14),
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.embed = Embedding(width, tubelet, patch, (grid[0], grid[1], grid[2]))
        rates = rising_rates(drop_path, depth)
        self.blocks = nn.Sequential(*(Block(width, heads, gelu="tanh", drop_path=rate) for rate in rates))
        self.norm = nn.LayerNorm(width, 1e-6)
        self.fc = nn.Linear(width, num_classes)
        initialise(self)

    def token_grid(self, x_BTCHW: Tensor, path: str) -> Grid:
        """Tokens along time, rows and columns, the same in all layers; see `Tokens`."""
        return self.embed.tubelets.grid(x_BTCHW)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x_BLD = self.blocks(self.embed(x_BTCHW))
        logits_BK: Tensor = self.fc(self.norm(x_BLD[:, 0]))
        return logits_BK


SPEC = ClipSpec(
    Sampling("dense", 32, 2), size=(224, 224), short_side_px=256, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)
FRAME = 14  # tokens along each side of a 224-pixel frame: a file states only their total


def made_for(theirs: Mapping[str, Tensor]) -> Arguments:
    """Frames per token and clip length that a state is made for, its frames being 224 pixels wide."""
    kernel = theirs.get("vivit.embeddings.patch_embeddings.projection.weight")
    position = theirs.get("vivit.embeddings.position_embeddings")
    if kernel is None or position is None or (position.shape[1] - 1) % FRAME**2:
        return {}
    return {"tubelet": kernel.shape[2], "grid": ((position.shape[1] - 1) // FRAME**2, FRAME, FRAME)}


def fit(spec: ClipSpec, arguments: Arguments) -> ClipSpec:
    """`spec` for a network made for other clips: its own length over the same time, its own size."""
    grid, tubelet, patch = (arguments.get(name) for name in ("grid", "tubelet", "patch"))
    if not isinstance(grid, tuple) or not isinstance(tubelet, int) or not isinstance(patch, int):
        return spec
    frames, rows, columns = grid
    return with_size(with_length(spec, frames * tubelet), (rows * patch, columns * patch))


def huggingface(layout: str, *block: Rule) -> KeyMap:
    return KeyMap(
        layout,
        (
            Rename("vivit.embeddings.cls_token", "embed.cls"),
            Rename("vivit.embeddings.position_embeddings", "embed.position"),
            Rename("vivit.embeddings.patch_embeddings.projection.*", "embed.tubelets.proj.*"),
            *block,
            Rename("vivit.layernorm.*", "norm.*"),
            Rename("classifier.*", "fc.*"),
        ),
        infer=made_for,
    )


MAPS = (
    huggingface(
        "huggingface",
        *joined(
            "vivit.encoder.layer.{i}.attention.attention", "blocks.{i}.attn.qkv", ("query", "key", "value")
        ),
        *huggingface_block("vivit"),
    ),
    huggingface(
        "transformers5",
        *joined("vivit.layers.{i}.attention", "blocks.{i}.attn.qkv", ("q_proj", "k_proj", "v_proj")),
        Rename("vivit.layers.{i}.attention.o_proj.*", "blocks.{i}.attn.proj.*"),
        Rename("vivit.layers.{i}.layernorm_before.*", "blocks.{i}.norm1.*"),
        Rename("vivit.layers.{i}.layernorm_after.*", "blocks.{i}.norm2.*"),
        Rename("vivit.layers.{i}.mlp.*", "blocks.{i}.mlp.*"),
    ),
)
VIVIT = Family(
    name="vivit",
    paper=cite("2103.15691", "3.2, 3.3 (model 1)"),
    network=ViViT,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("dense", 4), size=(32, 32), short_side_px=32),),
    stages=stage_names(12, "norm"),
    cam_layers=(CamLayer("blocks.-1.norm1", "B 1+THW C"),),
    explanation="weighted_attention",
    key_maps=MAPS,
    fit=fit,
    notes="Clips of another length or size take positions interpolated between the learnt ones.",
)


@VIVIT.model("ViT-B over tubelets of two frames, all of which attend to each other.")
def vivit_b(num_classes: int) -> ViViT:
    return VIVIT.build(num_classes)


@VIVIT.model("vivit for tests.", stages=stage_names(2, "norm"), tiny=True)
def vivit_tiny(num_classes: int) -> ViViT:
    return VIVIT.build(num_classes, width=32, depth=2, heads=2, patch=8, grid=(2, 4, 4))
