"""What is taken away at a time: numbered parts of every input, and what the score loses without each.

B batch, T time, C channels, H W pixels, M people, J joints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

import torch
from torch import Tensor

from kinesphere.clips.spec import ClipSpec
from kinesphere.explain.method import Settings
from kinesphere.explain.neutral import filled, is_planes, seen
from kinesphere.explain.requirements import require_captum
from kinesphere.explain.target import Scored
from kinesphere.explain.varied import Heat, clip_by_clip, together

Numbering = Callable[[Tensor, ClipSpec], Tensor | None]
"""Of one clip `(1, T, ...)` and its contract: int64 from 0, of a shape that broadcasts to the clip's; None
leaves an input as it is."""


def parts_of(size: int, length: int) -> Tensor:
    """int64 `(size,)`: which of `ceil(size / length)` equal parts each place of an axis belongs to."""
    count = ceil(size / length)
    return torch.arange(size) * count // size


def box_numbers(clip: Tensor, box: tuple[int, int, int]) -> Tensor:
    """Boxes of frames, rows and columns that tile `(1, T, C, H, W)` evenly: `(1, T, 1, H, W)`."""
    _, length, _, height, width = clip.shape
    frames, rows, columns = (
        parts_of(size, step) for size, step in zip((length, height, width), box, strict=True)
    )
    down, across = int(rows[-1]) + 1, int(columns[-1]) + 1
    numbers = (frames[:, None, None] * down + rows[:, None]) * across + columns
    return numbers[None, :, None]


def cells_of(heat: Tensor, box: tuple[int, int, int]) -> Tensor:
    """Heat `(B, T, H, W)` that is the same all over each box of `box_numbers`, as cells `(B, t, h, w)`."""
    for axis, step in enumerate(box, 1):
        parts = parts_of(heat.shape[axis], step)
        first = torch.searchsorted(parts, torch.arange(int(parts[-1]) + 1))
        heat = heat.index_select(axis, first.to(heat.device))
    return heat


def joint_numbers(clip: Tensor, frames: int, groups: Tensor, *, everybody: bool = False) -> Tensor:
    """Groups of each person's joints over `frames` at a time: `(1, T, M, J, 1)` of `(1, T, M, J, D + 1)`.

    Args:
        clip: One clip.
        frames: How many at a time.
        groups: int64 `(J,)`, the group of each joint.
        everybody: Whether the same joints of all people are one part.

    All that is not seen is one part, so that absent people cost nothing.
    """
    _, length, people, _, _ = clip.shape
    times, count = parts_of(length, frames), int(groups.max()) + 1
    whose = torch.zeros(people, dtype=torch.int64) if everybody else torch.arange(people)
    numbers = (times[:, None, None] * people + whose[:, None]) * count + groups
    numbers = torch.where(seen(clip)[0].cpu(), numbers, numbers.max() + 1)
    consecutive: Tensor = numbers.unique(return_inverse=True)[1]
    return consecutive[None, ..., None]


def losses(scored: Scored, inputs: Sequence[Tensor], settings: Settings, number: Numbering) -> Heat:
    """What the score loses when a part is taken away, `settings.batch` parts at a time, by Captum.

    Args:
        scored: The network with what is explained of it.
        inputs: Normalised clips.
        settings: `fill` says what stands where a part was.
        number: The parts of each input.

    Returns:
        For planes `(B, T, H, W)`, for joints `(B, T, M, J)`; above 0 where a part speaks for the class, zero
        where joints are not seen, None for inputs without parts.

    Raises:
        MissingExtra: If Captum is not installed.
    """
    require_captum("occlusion")
    from captum.attr import FeatureAblation

    specs = scored.recogniser.specs
    heats = []
    for clip in clip_by_clip(inputs):
        altered = _Altered(scored, clip, settings, number)
        present = torch.ones(1, altered.count, device=clip[0].device)
        (lost,) = FeatureAblation(altered).attribute(
            present, baselines=0.0, perturbations_per_eval=settings.batch
        )
        heats.append(
            tuple(
                None if numbers is None else _map(lost[numbers], part, spec)
                for numbers, part, spec in zip(altered.numbers, clip, specs, strict=True)
            )
        )
    return together(heats)


class _Altered:
    """The score of one clip by which of its parts are present, 1 or 0 each in `(N, parts)`.

    So Captum's bookkeeping is of parts and not of pixels. Only the values of absent parts are written, into
    copies of the clip that are mended after each pass: new ones would cost as much as a small network does.
    """

    def __init__(self, scored: Scored, clip: Sequence[Tensor], settings: Settings, number: Numbering) -> None:
        self.scored = scored
        self.clip = clip
        self.numbers: list[Tensor | None] = []
        self.fills: list[Tensor] = []
        self.places: list[tuple[int, Tensor]] = []
        for i, (part, spec) in enumerate(zip(clip, scored.recogniser.specs, strict=True)):
            numbers = number(part, spec)
            if numbers is not None:
                flat = numbers.to(part.device).expand_as(part).flatten()
                places = flat.int().argsort(stable=True).split(flat.bincount().tolist())  # half as long
                numbers = numbers.to(part.device) + self.count  # they go on from input to input
                self.places += [(i, place) for place in places]
            self.numbers.append(numbers)
            self.fills.append(filled(part, spec, settings.fill).flatten())
        size = min(settings.batch, max(self.count, 1))
        self.copies = [
            part.expand(size, *part.shape[1:]) if numbers is None
            else part.flatten().repeat(size, 1).view(size, *part.shape[1:])
            for part, numbers in zip(clip, self.numbers, strict=True)
        ]  # fmt: skip

    @property
    def count(self) -> int:
        """How many parts all inputs have."""
        return len(self.places)

    def __call__(self, present: Tensor) -> Tensor:
        absent = (present == 0).nonzero().tolist()
        self._write(absent, self.fills)
        try:
            scores: Tensor = self.scored(*(copies[: len(present)] for copies in self.copies))
        finally:
            self._write(absent, [part.flatten() for part in self.clip])
        return scores

    def _write(self, absent: list[list[int]], values: Sequence[Tensor]) -> None:
        """Into each copy's absent parts."""
        for copy, part in absent:
            i, places = self.places[part]
            self.copies[i][copy].view(-1).index_copy_(0, places, values[i][places])


def _map(lost: Tensor, clip: Tensor, spec: ClipSpec) -> Tensor:
    """One number per pixel or joint, from one per number in `(1, T, 1, H, W)` or `(1, T, M, J, 1)`."""
    return lost[:, :, 0] if is_planes(spec) else lost[..., 0] * seen(clip)
