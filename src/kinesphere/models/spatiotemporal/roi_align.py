"""RoIAlign in plain PyTorch.

He et al.: "Mask R-CNN", ICCV 2017, https://arxiv.org/abs/1703.06870, section 3. A bin's value is the mean of
bilinear samples. Whether a sample lies on the map, and the weights of its pixels, are products of a factor of
its row and one of its column; so a box is two small matrices, and all boxes are pooled by two products.

R boxes, B maps, C channels, H W rows and columns of a map, P bins a side, S samples of a bin and side.
"""

from __future__ import annotations

import torch
from torch import Tensor


def roi_align(
    x_BCHW: Tensor, rois_R5: Tensor, bins: int, scale: float, *, samples: int = 0, aligned: bool = True
) -> Tensor:
    """The part of a map in each box, on a grid of bins: `(R, C, P, P)`.

    Args:
        x_BCHW: Feature maps.
        rois_R5: Number of the map, left, top, right, bottom in pixels of the frame. Boxes may leave the
            frame: samples more than a pixel of the map beyond it are 0, those nearer have the border's value.
        bins: P.
        scale: Pixels of the map for one of the frame: 1 / stride.
        samples: S; 0 takes as many as a bin has pixels, rounded up.
        aligned: Whether the middle of the first pixel of the map lies half a pixel from its border (the
            half-pixel rule); otherwise at it, and boxes are one pixel wide at least, as in the first code.
    """
    number_R = rois_R5[:, 0].long()
    corners = rois_R5[:, 1:] * scale - (0.5 if aligned else 0.0)
    sides_R2 = corners[:, 2:] - corners[:, :2]
    if not aligned:
        sides_R2 = sides_R2.clamp(min=1.0)
    height, width = x_BCHW.shape[-2:]
    columns_RPW = _weights(corners[:, 0], sides_R2[:, 0], bins, width, samples).to(x_BCHW.dtype)
    rows_RPH = _weights(corners[:, 1], sides_R2[:, 1], bins, height, samples).to(x_BCHW.dtype)
    own_RCHW = x_BCHW[number_R]
    pooled: Tensor = rows_RPH[:, None] @ own_RCHW @ columns_RPW[:, None].transpose(-1, -2)
    return pooled


def _weights(start_R: Tensor, side_R: Tensor, bins: int, length: int, samples: int) -> Tensor:
    """How much each of the pixels of one axis counts in each bin: `(R, P, length)`; rows sum to 1 inside."""
    bin_R = side_R / bins
    counts_R = bin_R.ceil().clamp(min=0) if samples == 0 else torch.full_like(bin_R, samples)
    most = max(int(counts_R.max()), 1) if len(counts_R) else 1
    place_S = torch.arange(most, device=start_R.device, dtype=start_R.dtype)
    part_RS = (place_S + 0.5) / counts_R.clamp(min=1)[:, None]
    bins_P = torch.arange(bins, device=start_R.device, dtype=start_R.dtype)
    at_RPS = start_R[:, None, None] + (bins_P[None, :, None] + part_RS[:, None]) * bin_R[:, None, None]
    counted = (place_S < counts_R[:, None])[:, None] & (at_RPS >= -1) & (at_RPS <= length)
    at_RPS = at_RPS.clamp(0, length - 1)
    pixels = torch.arange(length, device=start_R.device, dtype=start_R.dtype)
    near_RPSL = (1 - (at_RPS[..., None] - pixels).abs()).clamp(min=0) * counted[..., None]
    found: Tensor = near_RPSL.sum(2) / counts_R.clamp(min=1)[:, None, None]
    return found
