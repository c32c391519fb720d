"""Whether a map is true: what becomes of the answer when its hottest cells are taken away, or come first.

Petsiuk et al.: "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018, section 4.2,
with cells in space and time in place of pixels, and against random rankings of the same cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidSetting
from kinesphere.explain.method import Fill
from kinesphere.explain.neutral import filled, is_joints
from kinesphere.models import Recogniser

FILLS: tuple[Fill, ...] = ("temporal_mean", "blur")


@dataclass(frozen=True)
class Curve:
    """Areas under the probability of a class over the share of cells that are gone, or back.

    Attributes:
        fill: What stands in place of cells (see `neutral.filled`).
        deletion: Hottest cells go first; the lower the better.
        insertion: Hottest cells come first; the higher the better.
        random_deletion: Mean of random rankings of the same cells.
        random_insertion: The same, of insertion.
        beaten: Share of random rankings that the map beats in insertion less deletion.
    """

    fill: Fill
    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float
    beaten: float

    def sentence(self) -> str:
        """The figures in words."""
        return (
            f"filled with the {self.fill.replace('_', ' ')}: "
            f"deletion {self.deletion:.3f} (random {self.random_deletion:.3f}), "
            f"insertion {self.insertion:.3f} (random {self.random_insertion:.3f}); better than "
            f"{100 * self.beaten:.0f} % of random rankings"
        )


@dataclass(frozen=True)
class Faithfulness:
    """The curves of one map, by what is filled in.

    Attributes:
        cells: Number of cells, over all inputs.
        rankings: Number of random rankings.
        curves: One for each fill.
    """

    cells: int
    rankings: int
    curves: tuple[Curve, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Work:
    """How finely faithfulness is measured.

    Attributes:
        grid: Cells of a clip along time, rows and columns; of poses, along time only, for each joint.
        steps: Points of a curve behind its first.
        rankings: Random rankings.
        batch: Altered clips that run through the network together.
        seed: Of the rankings.
    """

    grid: tuple[int, int, int] = (4, 7, 7)
    steps: int = 10
    rankings: int = 20
    batch: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if min(*self.grid, self.steps, self.rankings, self.batch) < 1:
            raise InvalidSetting(f"Grid, steps, rankings and batch are at least 1; got {self}.")


def faithfulness(
    recogniser: Recogniser,
    inputs: Sequence[Tensor],
    heats: Sequence[Tensor | None],
    label: int,
    work: Work = Work(),
) -> Faithfulness:
    """Deletion and insertion of the cells of one view.

    Args:
        recogniser: In evaluation mode.
        inputs: Normalised clips, `(1, T, ...)` each.
        heats: For each input `(T, H, W)`, of poses `(T, M, J)`; None for an input without heat, which stays.
        label: Index of the class.
        work: How finely.

    Raises:
        InvalidSetting: If no input has heat.
    """
    specs = recogniser.specs
    cells = [
        None if heat is None else in_cells(heat, spec, work.grid)
        for heat, spec in zip(heats, specs, strict=True)
    ]
    known = [each for each in cells if each is not None]
    if not known:
        raise InvalidSetting("Nothing of this explanation can be taken away: no input has heat.")
    ranked = torch.cat([each.flatten() for each in known])
    generator = torch.Generator().manual_seed(work.seed)
    orders = [torch.argsort(ranked, descending=True, stable=True)] + [
        torch.randperm(len(ranked), generator=generator) for _ in range(work.rankings)
    ]
    curves = []
    for fill in FILLS:
        blanks = [filled(x, spec, fill) for x, spec in zip(inputs, specs, strict=True)]
        score = _scorer(recogniser, inputs, blanks, cells, label, work)
        deletions = [_area(score(order, False)) for order in orders]
        insertions = [_area(score(order, True)) for order in orders]
        gains = [up - down for up, down in zip(insertions, deletions, strict=True)]
        curves.append(
            Curve(
                fill,
                deletions[0],
                insertions[0],
                sum(deletions[1:]) / work.rankings,
                sum(insertions[1:]) / work.rankings,
                sum(gains[0] > gain for gain in gains[1:]) / work.rankings,
            )
        )
    return Faithfulness(len(ranked), work.rankings, tuple(curves))


def in_cells(heat: Tensor, spec: ClipSpec, grid: tuple[int, int, int]) -> Tensor:
    """Mean heat of the cells of `Work.grid`: `(t, h, w)` of planes `(T, H, W)`, `(t, M, J)` of joints."""
    shape = (min(grid[0], len(heat)), *(heat.shape[1:] if is_joints(spec) else grid[1:]))
    return F.adaptive_avg_pool3d(heat[None, None].float(), shape)[0, 0]


def _scorer(
    recogniser: Recogniser,
    inputs: Sequence[Tensor],
    blanks: Sequence[Tensor],
    cells: Sequence[Tensor | None],
    label: int,
    work: Work,
) -> Callable[[Tensor, bool], Tensor]:
    """Gives the probabilities `(steps + 1,)` along a ranking, of cells that go or that come."""
    sizes = [0 if each is None else each.numel() for each in cells]
    total = sum(sizes)

    def score(order: Tensor, inserting: bool) -> Tensor:
        rank = torch.empty(total, dtype=torch.long)
        rank[order] = torch.arange(total)
        counts = torch.linspace(0, total, work.steps + 1).round()
        kept = (rank < counts[:, None]) if inserting else (rank >= counts[:, None])
        probabilities = []
        for part in kept.split(work.batch):
            shares = part.split(sizes, 1)
            altered = [
                x if each is None else _mixed(x, blank, share.view(-1, *each.shape), spec)
                for x, blank, each, share, spec in zip(
                    inputs, blanks, cells, shares, recogniser.specs, strict=True
                )
            ]
            batch = [x if len(x) == len(part) else x.expand(len(part), *x.shape[1:]) for x in altered]
            probabilities.append(_probability(recogniser, batch, label))
        return torch.cat(probabilities)

    return score


def _mixed(x: Tensor, blank: Tensor, kept_BTHW: Tensor, spec: ClipSpec) -> Tensor:
    """Copies of a clip with cells filled that are not kept."""
    joints = is_joints(spec)
    shape = tuple(x.shape[1:4]) if joints else (x.shape[1], *x.shape[-2:])
    mask = F.interpolate(kept_BTHW[:, None].float(), size=shape, mode="nearest")[:, 0].to(x.device)
    return torch.where(mask.unsqueeze(-1 if joints else 2) > 0.5, x, blank)


@torch.inference_mode()
def _probability(recogniser: Recogniser, inputs: Sequence[Tensor], label: int) -> Tensor:
    logits = recogniser(*inputs).float()
    shares: Tensor = logits.sigmoid() if recogniser.labels.multi else logits.softmax(-1)
    return shares[:, label].cpu()


def _area(values: Tensor) -> float:
    return float(torch.trapezoid(values.double()) / (len(values) - 1))
