"""Heatmap volumes from keypoints: a Gaussian at every joint, or along every limb.

Duan, Zhao, Chen, Lin, Dai: "Revisiting Skeleton-based Action Recognition", CVPR 2022,
https://arxiv.org/abs/2104.13586, section 3.2, equations 1 and 2. As in the authors' code, a Gaussian ends at
three standard deviations from its joint (at the box so much wider than its limb), is weighted by the
joint's score (the lower one of a limb's two), and persons share a map by their maximum.

Few cells of a map are not zero, so only those are computed, all joints of a batch at once, and painted
into the volume by maximum. Their number per joint or limb is fixed; a place outside its window moves to
the window's border, where it paints what is there anyway.

N frames, P persons, J joints, L limbs, C values of a joint (x, y, perhaps z, score), H W pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, fx, nn

from kinesphere.core.errors import InvalidSetting

SIGMA = 0.6
_REACH = 3  # standard deviations to the border of a window
_FAR = 5  # standard deviations at which a Gaussian is nothing in single precision beside 1: 4e-6


class PoseHeatmaps(nn.Module):
    """Keypoints `(B, T, P, J, C)` in pixels to maps `(B, T, J or L, H, W)` in [0, 1].

    Args:
        size: `(H, W)` of the maps; a joint at (0, 0) lies in the middle of the first pixel.
        limbs: Pairs of joints to draw between; None draws the joints.
        sigma: Standard deviation of the Gaussians in pixels.
        use_score: Whether the score scales a Gaussian; else every joint with a score counts fully.
        least_score: Joints below it are missing.
    """

    limbs: Tensor | None

    def __init__(
        self,
        size: tuple[int, int],
        limbs: tuple[tuple[int, int], ...] | None = None,
        *,
        sigma: float = SIGMA,
        use_score: bool = True,
        least_score: float = 1e-4,
    ) -> None:
        super().__init__()
        if sigma <= 0 or min(size) < 1:
            raise InvalidSetting(f"Heatmaps need a positive size and sigma; got {size} and {sigma}.")
        self.size = size
        self.sigma = sigma
        self.use_score = use_score
        self.least_score = least_score
        self.register_buffer(
            "limbs", None if limbs is None else torch.tensor(limbs, dtype=torch.int64), persistent=False
        )

    def parts_of_maps(self, joints: int) -> Tensor:
        """See `Drawing`: a joint has its map alone, the two ends of a limb half of it each."""
        if self.limbs is None:
            return torch.eye(joints)
        ends = torch.nn.functional.one_hot(self.limbs, joints).float()  # (L, 2, J)
        return ends.mean(1)

    def forward(self, keypoints_BTPJC: Tensor) -> Tensor:
        return heatmaps(keypoints_BTPJC, self.limbs, self.size, self.sigma, self.use_score, self.least_score)


@fx.wrap  # type: ignore[misc, unused-ignore]
def heatmaps(
    keypoints_BTPJC: Tensor,
    limbs_L2: Tensor | None,
    size: tuple[int, int],
    sigma: float,
    use_score: bool,
    least_score: float,
) -> Tensor:
    """What `PoseHeatmaps` computes. The result's channels lie last in memory, as convolutions like it."""
    frames_NPJC = keypoints_BTPJC.flatten(0, 1).float()
    scores_NPJ = frames_NPJC[..., -1]
    scores_NPJ = torch.where(scores_NPJ < least_score, 0.0, scores_NPJ if use_score else 1.0)
    points_NPJ2 = frames_NPJC[..., :2]
    N, P = scores_NPJ.shape[:2]
    if limbs_L2 is None:
        maps, places = scores_NPJ.shape[2], _joint_reach(sigma) ** 2
    else:
        maps, places = len(limbs_L2), max(size) * (2 * _strip_reach(sigma) + 1)
    # On a CPU a share's intermediate results stay in its cache; elsewhere few large steps are faster.
    budget = 2**17 if keypoints_BTPJC.device.type == "cpu" else 2**24
    share = max(1, budget // (P * maps * places))
    if points_NPJ2.requires_grad:
        share = N  # a maximum's gradient asks for the volume as it was painted
    volume = frames_NPJC.new_zeros(N, size[0] * size[1] * maps)
    for first in range(0, N, share):
        points, scores = points_NPJ2[first : first + share], scores_NPJ[first : first + share]
        if limbs_L2 is None:
            values, cells = _joint_cells(points, scores, size, sigma)
        else:
            ends = (limbs_L2[:, 0], limbs_L2[:, 1])
            a, b, score_a, score_b = (x[:, :, end] for x in (points, scores) for end in ends)
            values, cells = _limb_cells(a, b, score_a, score_b, size, sigma)
        volume[first : first + share].scatter_reduce_(1, cells.flatten(1), values.flatten(1), "amax")
    maps_NHWJ = volume.view(N, *size, maps)
    maps_BTJHW: Tensor = maps_NHWJ.permute(0, 3, 1, 2).unflatten(0, keypoints_BTPJC.shape[:2])
    return maps_BTJHW


def _joint_reach(sigma: float) -> int:
    """Cells that a window of a joint may have along one axis."""
    return int(2 * _REACH * sigma) + 2


def _strip_reach(sigma: float) -> int:
    """Cells to each side of a limb's middle line that are worth computing, however it slopes."""
    return math.ceil(_FAR * sigma * math.sqrt(2) + 0.5)


def _window(low: Tensor, high: Tensor, length: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """First and last cell of an axis around `[low, high]`, and whether any of them is on the map."""
    first = (low - _REACH * sigma).trunc().clamp(min=0)
    last = torch.minimum((high + _REACH * sigma).trunc(), length - 1)
    inside = first <= last
    return torch.where(inside, first, 0.0), torch.where(inside, last, 0.0), inside


def _joint_cells(
    points_NPJ2: Tensor, scores_NPJ: Tensor, size: tuple[int, int], sigma: float
) -> tuple[Tensor, Tensor]:
    """Values `(N, P, J, k, k)` around each joint, the product of two Gaussians, and their cells.

    A cell is a place in the frame's volume `(H, W, J)`.
    """
    first, last, inside = _window(points_NPJ2, points_NPJ2, points_NPJ2.new_tensor(size).flip(0), sigma)
    reach = torch.arange(_joint_reach(sigma), device=points_NPJ2.device)
    places = torch.minimum(first[..., None] + reach, last[..., None])
    gaussians = (-(places - points_NPJ2[..., None]).square() / (2 * sigma**2)).exp()
    scores_NPJ = torch.where(inside.all(-1), scores_NPJ, 0.0)
    rows, columns = gaussians[..., 1, :] * scores_NPJ[..., None], gaussians[..., 0, :]
    J = scores_NPJ.shape[2]
    x, y = places.long().unbind(-2)
    joint = torch.arange(J, device=x.device)[:, None]
    cells = (y * (size[1] * J) + joint)[..., :, None] + (x * J)[..., None, :]
    return rows[..., :, None] * columns[..., None, :], cells


def _limb_cells(
    start_NPL2: Tensor,
    end_NPL2: Tensor,
    start_score: Tensor,
    end_score: Tensor,
    size: tuple[int, int],
    sigma: float,
) -> tuple[Tensor, Tensor]:
    """Values `(N, P, L, n, k)` in a strip along each limb, and their cells as in `_joint_cells`.

    The strip has one place for every row of a steep limb (every column of a flat one) and reaches so far
    to both sides that what lies beyond is nothing. A limb shorter than a pixel is a point with the
    score of its first joint. Lengths are in units of sigma times the root of 2.
    """
    score = torch.minimum(start_score, end_score)
    span = end_NPL2 - start_NPL2
    length = span.square().sum(-1).sqrt()
    short = length < 1
    score = torch.where((score > 0) & short, start_score, score)
    length = torch.where(short, 0.0, length)[..., None]
    unit = torch.where(short[..., None], span.new_tensor([1.0, 0.0]), span / length.clamp(min=1))
    other = torch.where(short[..., None], start_NPL2, end_NPL2)
    low, high = torch.minimum(start_NPL2, other), torch.maximum(start_NPL2, other)
    first, last, inside = _window(low, high, span.new_tensor(size).flip(0), sigma)
    score = torch.where(inside.all(-1), score, 0.0)[..., None, None]
    steep = (unit[..., 1].abs() > unit[..., 0].abs())[..., None]

    def along_across(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(steep, x[..., 1:], x[..., :1]), torch.where(steep, x[..., :1], x[..., 1:])

    (a, b), (unit_a, unit_b) = along_across(start_NPL2), along_across(unit)
    (first_a, first_b), (last_a, last_b) = along_across(first), along_across(last)
    place_a = torch.arange(max(size), device=span.device).clamp(first_a, last_a)
    middle = (b + (place_a - a) * (unit_b / unit_a)).round()
    half = _strip_reach(sigma)
    offsets = torch.arange(-half, half + 1, device=span.device)
    place_b = (middle[..., None] + offsets).clamp(first_b[..., None], last_b[..., None])

    unit_length = 1 / (sigma * math.sqrt(2))
    along = (place_a - a) * unit_length
    across = torch.add((b * -unit_length)[..., None], place_b, alpha=unit_length)
    beside = torch.addcmul((along * unit_b)[..., None], across, -unit_a[..., None])  # distance to the line
    before = torch.addcmul((along * unit_a)[..., None], across, unit_b[..., None])
    nearest = before.clamp(torch.zeros_like(length)[..., None], length[..., None] * unit_length)
    distance = torch.addcmul(beside.square(), before - nearest, before - nearest)
    values = distance.clamp(max=60).neg().exp() * score  # e^-60 is nothing; smaller numbers are slow

    L = score.shape[2]
    step_a, step_b = torch.where(steep, size[1] * L, L), torch.where(steep, L, size[1] * L)
    limb = torch.arange(L, device=span.device)[:, None]
    base = place_a.long() * step_a + limb
    return values, place_b.long() * step_b[..., None] + base[..., None]
