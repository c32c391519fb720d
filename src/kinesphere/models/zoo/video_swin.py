"""Video Swin Transformer: self-attention within 3D windows that shift from block to block.

Liu, Ning, Cao, Wei, Zhang, Lin, Hu: "Video Swin Transformer", CVPR 2022, https://arxiv.org/abs/2106.13230,
sections 3.1 to 3.3. Sizes, merging and the masks of shifted windows come from the image network:
Liu et al.: "Swin Transformer", ICCV 2021, https://arxiv.org/abs/2103.14030.

B batch, T time, C channels, H W positions, N positions of a window, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import MEAN, STD
from kinesphere.models.family import Family
from kinesphere.models.layers.stochastic_depth import StochasticDepth, rising_rates
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Arguments, KeyMap, Rename

Size3 = tuple[int, int, int]

MASKED = -100.0
"""Added to the score of two positions that only the cyclic shift brought into one window."""


def pad_to_multiple(x_BTHWC: Tensor, unit: Sequence[int]) -> Tensor:
    """Zeros at the ends of time, height and width, until `unit` divides them."""
    ends = [-length % step for length, step in zip(x_BTHWC.shape[1:4], unit, strict=True)]
    if not any(ends):
        return x_BTHWC
    return F.pad(x_BTHWC, (0, 0, 0, ends[2], 0, ends[1], 0, ends[0]))


def fitted(window: Size3, shift: Size3, size: Sequence[int]) -> tuple[Size3, Size3]:
    """Window and shift for a volume of `size`: an axis no longer than its window is one unshifted window."""
    pairs = [(n, 0) if n <= w else (w, s) for n, w, s in zip(size, window, shift, strict=True)]
    (wt, st), (wh, sh), (ww, sw) = pairs
    return (wt, wh, ww), (st, sh, sw)


def boxes(padded: Sequence[int], window: Size3, shift: Size3) -> Iterator[tuple[tuple[slice, ...], Size3]]:
    """Parts of a shifted volume whose windows share one mask.

    Along a shifted axis the last window holds the end of the volume and, after it, its wrapped beginning;
    all windows before it hold neighbours only.

    Yields:
        The part's slices over time, height and width, and how many positions of its windows are wrapped
        beginning along each axis.
    """
    axes = []
    for length, step, wrapped in zip(padded, window, shift, strict=True):
        last = length - step
        whole = [(slice(0, length), 0)]
        axes.append([(slice(0, last), 0), (slice(last, length), wrapped)] if wrapped else whole)
    for parts in itertools.product(*axes):
        (t, st), (h, sh), (w, sw) = parts
        yield (t, h, w), (st, sh, sw)


def shift_mask(window: Size3, wrapped: Size3, like: Tensor) -> Tensor:
    """`(N, N)`: 0 for two positions of one region of a window, `MASKED` for two of different regions."""
    sides = [
        torch.arange(length, device=like.device) >= length - end
        for length, end in zip(window, wrapped, strict=True)
    ]
    t, h, w = torch.meshgrid(*sides, indexing="ij")
    region_N = (t.int() * 4 + h.int() * 2 + w.int()).flatten()
    apart_NN: Tensor = region_N[:, None] != region_N[None, :]
    return apart_NN.to(like.dtype) * MASKED


def relative_positions(window: Size3) -> Tensor:
    """`(N, N)`: row of the table of relative positions for each pair of positions of a window."""
    grid_3N = torch.stack(torch.meshgrid(*map(torch.arange, window), indexing="ij")).flatten(1)
    t, h, w = (
        axis_N[:, None] - axis_N[None, :] + length - 1 for axis_N, length in zip(grid_3N, window, strict=True)
    )
    index_NN: Tensor = (t * (2 * window[1] - 1) + h) * (2 * window[2] - 1) + w
    return index_NN


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows moved by `shift`, with a bias for each relative position."""

    def __init__(self, width: int, heads: int, window: Size3, shift: Size3) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        distances = (2 * window[0] - 1) * (2 * window[1] - 1) * (2 * window[2] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(distances, heads))
        self.relative_position_index: Tensor
        self.register_buffer("relative_position_index", relative_positions(window))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self._kept: dict[Size3, Tensor] | None = None
        self._kept_dtype = torch.float32

    def keep_constants(self, dtype: torch.dtype) -> None:
        """See `runtime.inference.HasConstants`: the biases of each size of window are computed once."""
        self._kept, self._kept_dtype = {}, dtype

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        size = x_BTHWC.shape[1:4]
        window, shift = fitted(self.window, self.shift, size)
        x = pad_to_multiple(x_BTHWC, window)
        bias = self._bias(window)
        if any(shift):
            x = x.roll([-step for step in shift], (1, 2, 3))
            out = torch.empty_like(x)
            for (t, h, w), wrapped in boxes(x.shape[1:4], window, shift):
                masked = bias + shift_mask(window, wrapped, bias) if any(wrapped) else bias
                out[:, t, h, w] = self._attend(x[:, t, h, w], window, masked)
            out = out.roll(shift, (1, 2, 3))
        else:
            out = self._attend(x, window, bias)
        return out[:, : size[0], : size[1], : size[2]]

    def _bias(self, window: Size3) -> Tensor:
        """`(1, heads, N, N)`; a smaller window takes the first entries, as published."""
        if self._kept is None:
            return self._computed_bias(window)
        if window not in self._kept:
            self._kept[window] = self._computed_bias(window).to(self._kept_dtype)
        return self._kept[window]

    def _computed_bias(self, window: Size3) -> Tensor:
        count = window[0] * window[1] * window[2]
        index_NN = self.relative_position_index[:count, :count]
        by_head = self.relative_position_bias_table.t().contiguous()  # gathers 10 times faster than by rows
        return by_head.index_select(1, index_NN.flatten()).view(1, self.heads, count, count)

    def _attend(self, x_BTHWC: Tensor, window: Size3, bias: Tensor) -> Tensor:
        """Attention within each window of a volume that the window divides."""
        batch, time, height, columns, width = x_BTHWC.shape
        wt, wh, ww = window
        grid = (batch, time // wt, height // wh, columns // ww)
        windows = x_BTHWC.reshape(
            batch, grid[1], wt, grid[2], wh, grid[3], ww, width
        ).permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, wt * wh * ww, width)  # fmt: skip
        q, k, v = self.qkv(windows).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        out: Tensor = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out = self.proj(out.transpose(1, 2).flatten(2))
        return out.view(*grid, wt, wh, ww, width).permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(x_BTHWC.shape)


class Block(nn.Module):
    """Attention within windows, then two layers on each position; both are added to their input."""

    def __init__(
        self, width: int, heads: int, window: Size3, *, shifted: bool, mlp_ratio: int, drop_path: float
    ) -> None:
        super().__init__()
        shift = (window[0] // 2, window[1] // 2, window[2] // 2) if shifted else (0, 0, 0)
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window, shift)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_ratio * width), nn.GELU(), nn.Linear(mlp_ratio * width, width)
        )
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        x = x_BTHWC + self.drop_path(self.attn(self.norm1(x_BTHWC)))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class PatchEmbedding(nn.Module):
    """Each patch of the clip becomes one position."""

    def __init__(self, width: int, patch: Size3) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv3d(3, width, patch, patch)
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        x = pad_to_multiple(x_BCTHW.movedim(1, -1), self.patch).movedim(-1, 1)
        out: Tensor = self.norm(self.proj(x).movedim(1, -1))
        return out.movedim(-1, 1)


class PatchMerging(nn.Module):
    """Four neighbours of a frame become one position of twice the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        x = pad_to_multiple(x_BTHWC, (1, 2, 2))
        quads = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # B, T, H/2, 2, W/2, 2, C
        out: Tensor = self.reduction(self.norm(quads.permute(0, 1, 2, 4, 5, 3, 6).flatten(4)))
        return out


class Stage(nn.Module):
    """Merging (but for the first stage), then blocks whose windows are shifted every second time.

    Args:
        inputs: Channels that come in; merging doubles them.
        heads: Heads of each block.
        window: Largest window.
        merges: Whether patches are merged first.
        mlp_ratio: Width of the blocks' middle layer over their own.
        drop_path: Rate of stochastic depth of each block; their number is the stage's depth.
    """

    def __init__(
        self,
        inputs: int,
        heads: int,
        window: Size3,
        *,
        merges: bool,
        mlp_ratio: int,
        drop_path: Sequence[float],
    ) -> None:
        super().__init__()
        self.merge: nn.Module = PatchMerging(inputs) if merges else nn.Identity()
        width = 2 * inputs if merges else inputs
        self.blocks = nn.Sequential(
            *(
                Block(width, heads, window, shifted=i % 2 == 1, mlp_ratio=mlp_ratio, drop_path=rate)
                for i, rate in enumerate(drop_path)
            )
        )

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        x_BTHWC: Tensor = self.blocks(self.merge(x_BCTHW.movedim(1, -1)))
        return x_BTHWC.movedim(-1, 1)


class VideoSwin(nn.Module):
    """Patch embedding, four stages, global average, linear classifier.

    Stages take and give `(B, C, T, H, W)` in channels-last memory, like those of convolutional networks.

    Args:
        num_classes: Number of outputs K.
        width: Channels of the first stage; each later stage doubles them.
        depths: Blocks per stage.
        heads: Heads per stage.
        window: Positions of a window over time, height and width.
        patch: Frames and pixels of a patch.
        mlp_ratio: Width of a block's middle layer over its own.
        drop_path: Rate of stochastic depth of the last block; it rises linearly from 0.
        dropout: Before the classifier.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: int,
        depths: tuple[int, int, int, int],
        heads: tuple[int, int, int, int],
        window: Size3 = (8, 7, 7),
        patch: Size3 = (2, 4, 4),
        mlp_ratio: int = 4,
        drop_path: float = 0.1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(width, patch)
        rates = rising_rates(drop_path, sum(depths))
        stages = []
        for i, depth in enumerate(depths):
            first = sum(depths[:i])
            stages.append(
                Stage(
                    width if i == 0 else width * 2 ** (i - 1),
                    heads[i],
                    window,
                    merges=i > 0,
                    mlp_ratio=mlp_ratio,
                    drop_path=rates[first : first + depth],
                )
            )
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.norm = nn.LayerNorm(8 * width)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(8 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.patch_embed(x_BTCHW.transpose(1, 2))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x_BC = self.norm(x.movedim(1, -1)).mean((1, 2, 3))
        logits_BK: Tensor = self.fc(self.dropout(x_BC))
        return logits_BK


SPEC = ClipSpec(Sampling("dense", 32, 2), size=(224, 224), short_side_px=224, mean=MEAN, std=STD)
TORCHVISION_SPEC = SPEC.with_(sampling=Sampling("dense", 32), fps=15.0, short_side_px=256)


def window_and_patch(
    patch_key: str, table_key: str, index_key: str
) -> Callable[[Mapping[str, Tensor]], Arguments]:
    """Reads the sizes of window and patch off the shapes of three tensors, as far as they are there."""

    def infer(theirs: Mapping[str, Tensor]) -> Arguments:
        found: Arguments = {}
        if patch_key in theirs:
            found["patch"] = tuple(theirs[patch_key].shape[2:])
        if table_key in theirs and index_key in theirs:
            distances, positions = len(theirs[table_key]), len(theirs[index_key])
            for side in range(1, 1 + int(positions**0.5)):
                time = positions // side**2
                if time * side**2 == positions and (2 * time - 1) * (2 * side - 1) ** 2 == distances:
                    found["window"] = (time, side, side)
        return found

    return infer


def torchvision_rules() -> tuple[Rename, ...]:
    """Stages and mergings count as one sequence there: stage i is `features.{2 i}`."""
    rules = []
    for i in range(4):
        theirs, ours = f"features.{2 * i}.{{b}}", f"layer{i + 1}.blocks.{{b}}"
        rules += [
            Rename(f"{theirs}.mlp.3.*", f"{ours}.mlp.2.*"),
            Rename(f"{theirs}.*", f"{ours}.*"),
            Rename(f"features.{2 * i + 1}.*", f"layer{i + 2}.merge.*"),
        ]
    return (*rules, Rename("head.*", "fc.*"), Rename("*", "*"))


ATTENTION = "attn.relative_position"
TORCHVISION = KeyMap(
    "torchvision",
    torchvision_rules(),
    infer=window_and_patch(
        "patch_embed.proj.weight", f"features.0.0.{ATTENTION}_bias_table", f"features.0.0.{ATTENTION}_index"
    ),
    spec=TORCHVISION_SPEC,
)
MMACTION2 = KeyMap(
    "mmaction2",
    (
        Rename("backbone.layers.{s}.blocks.{b}.mlp.fc1.*", "layer{s+1}.blocks.{b}.mlp.0.*"),
        Rename("backbone.layers.{s}.blocks.{b}.mlp.fc2.*", "layer{s+1}.blocks.{b}.mlp.2.*"),
        Rename("backbone.layers.{s}.blocks.{b}.*", "layer{s+1}.blocks.{b}.*"),
        Rename("backbone.layers.{s}.downsample.*", "layer{s+2}.merge.*"),
        Rename("backbone.norm3.*", "norm.*"),
        Rename("backbone.norm.*", "norm.*"),  # version 0.x and the paper's own repository
        Rename("cls_head.fc_cls.*", "fc.*"),
        Rename("backbone.*", "*"),
    ),
    infer=window_and_patch(
        "backbone.patch_embed.proj.weight",
        f"backbone.layers.0.blocks.0.{ATTENTION}_bias_table",
        f"backbone.layers.0.blocks.0.{ATTENTION}_index",
    ),
)
VIDEO_SWIN = Family(
    name="video_swin",
    paper=cite("2106.13230", "3.1–3.3"),
    network=VideoSwin,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("dense", 8, 2), size=(32, 32), short_side_px=32),),
    stages=("patch_embed", "layer1", "layer2", "layer3", "layer4"),
    cam_layers=(CamLayer("layer4", "B C T H W"),),
    explanation="layercam",
    key_maps=(TORCHVISION, MMACTION2),
)


@VIDEO_SWIN.model("Transformer with shifted 3D windows, tiny: 12 blocks, 96 channels.")
def video_swin_t(num_classes: int) -> VideoSwin:
    return VIDEO_SWIN.build(num_classes, width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24), drop_path=0.1)


@VIDEO_SWIN.model("Transformer with shifted 3D windows, small: 24 blocks, 96 channels.")
def video_swin_s(num_classes: int) -> VideoSwin:
    return VIDEO_SWIN.build(num_classes, width=96, depths=(2, 2, 18, 2), heads=(3, 6, 12, 24), drop_path=0.2)


@VIDEO_SWIN.model("Transformer with shifted 3D windows, base: 24 blocks, 128 channels.")
def video_swin_b(num_classes: int) -> VideoSwin:
    return VIDEO_SWIN.build(num_classes, width=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32), drop_path=0.3)


@VIDEO_SWIN.model(
    "Transformer with shifted 3D windows, large: 24 blocks, 192 channels.",
    notes="Parity rests on the sizes that share its code: it has no fixture and no reference of its own.",
)
def video_swin_l(num_classes: int) -> VideoSwin:
    return VIDEO_SWIN.build(
        num_classes, width=192, depths=(2, 2, 18, 2), heads=(6, 12, 24, 48), drop_path=0.3
    )


@VIDEO_SWIN.model("video_swin for tests.", tiny=True)
def video_swin_tiny(num_classes: int) -> VideoSwin:
    return VIDEO_SWIN.build(num_classes, width=16, depths=(2, 2, 2, 2), heads=(1, 2, 4, 8), window=(2, 3, 3))
