"""Clips whose class a moving patch alone decides, beside a distractor of equal contrast, and their learners.

The patch has bars of 2 px, lying for one class and standing for the other; the distractor has the same two
values, equally many of each, in a chequerboard. Both drift over grey. For skeletons, the right wrist swings
up and down or from side to side, and the left wrist as far along a diagonal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.models import Recogniser, create_model

LABELS = ("lying", "standing", "nothing")
NOTHING = 2
"""The class of clips with the distractor alone: so a network has to find the patch for each other class."""
FRAMES, SIDE, PATCH, BAR = 8, 64, 16, 2
NOISE = 0.2
"""Most noise of a clip, so that networks know clips with and without, as filling and SmoothGrad make them."""
RIGHT_WRIST, LEFT_WRIST = (
    SKELETONS.get("coco17").index("right_wrist"),
    SKELETONS.get("coco17").index("left_wrist"),
)


@dataclass(frozen=True)
class Planted:
    """Normalised clips with what decides them.

    Attributes:
        clips: `(N, T, 3, H, W)`, or poses `(N, T, 1, J, 3)`.
        labels: `(N,)`.
        patch: bool `(N, T, H, W)` or `(N, T, 1, J)`: where the patch is.
        distractor: The same for the distractor.
    """

    clips: Tensor
    labels: Tensor
    patch: Tensor
    distractor: Tensor


def frames(count: int, seed: int, *, length: int = FRAMES) -> Planted:
    """Clips of a patch and a distractor that drift in opposite halves of the frame."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(len(LABELS), (count,), generator=generator)
    level = NOISE * torch.rand(count, 1, 1, 1, 1, generator=generator)
    clips = level * torch.randn(count, length, 3, SIDE, SIDE, generator=generator)
    where = torch.zeros(2, count, length, SIDE, SIDE, dtype=torch.bool)
    rows, columns = torch.arange(PATCH)[:, None] // BAR, torch.arange(PATCH) // BAR
    chequers = rows + columns
    bars = rows.expand_as(chequers), columns.expand_as(chequers)
    for n in range(count):
        textures = [None if labels[n] == NOTHING else bars[labels[n]], chequers]
        upper = int(torch.randint(2, (), generator=generator))
        for i, texture in enumerate(textures):
            sign = 1 - 2 * int(torch.randint(2, (), generator=generator))
            for t, (top, left) in enumerate(_drift(length, (upper + i) % 2, generator)):
                if texture is not None:
                    box = (slice(top, top + PATCH), slice(left, left + PATCH))
                    clips[n, t, :, *box] = sign * (1.0 - 2.0 * (texture % 2))
                    where[i, n, t, *box] = True
    return Planted(clips, labels, where[0], where[1])


def _drift(length: int, half: int, generator: torch.Generator) -> list[tuple[int, int]]:
    """Top left corners of a patch that crosses most of one half of the frame at a slant.

    At a slant, so that neither kind of bars survives in the mean over time.
    """
    down, right = (1 - 2 * int(torch.randint(2, (), generator=generator)) for _ in range(2))
    corners = []
    for t in range(length):
        way = t / (length - 1) - 0.5
        top = SIDE // 4 - PATCH // 2 + round(down * way * (SIDE // 2 - PATCH))
        left = (SIDE - PATCH) // 2 + round(right * way * (SIDE - PATCH - 8))
        corners.append((top + half * SIDE // 2, left))
    return corners


def poses(count: int, seed: int, *, length: int = 12) -> Planted:
    """One person whose wrists swing, each with a phase of its own; the right one's direction decides."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(len(LABELS), (count,), generator=generator)
    rest = torch.rand(17, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    points = rest + 0.2 * torch.randn(count, 1, 1, 2, generator=generator)
    points = points[:, None].expand(count, length, 1, 17, 2).clone()
    level = NOISE / 4 * torch.rand(count, 1, 1, 1, 1, generator=generator)
    points += level * torch.randn(points.shape, generator=generator)
    phase = 2 * torch.pi * torch.rand(count, 2, 1, generator=generator)
    swing = 0.3 * torch.sin(2 * torch.pi * torch.arange(length) / 6 + phase)  # (N, 2, T)
    moves = labels != NOTHING
    points[moves, :, 0, RIGHT_WRIST, 1 - labels[moves]] += swing[moves, 0]
    diagonal = torch.randint(2, (count, 1), generator=generator) * 2 - 1
    points[:, :, 0, LEFT_WRIST, 0] += swing[:, 1] / 2**0.5
    points[:, :, 0, LEFT_WRIST, 1] += diagonal * swing[:, 1] / 2**0.5
    where = torch.zeros(2, count, length, 1, 17, dtype=torch.bool)
    where[0, ..., RIGHT_WRIST] = where[1, ..., LEFT_WRIST] = True
    clips = torch.cat([points, torch.ones(count, length, 1, 17, 1)], -1)
    return Planted(clips, labels, where[0], where[1])


@dataclass(frozen=True)
class Learner:
    """A network, and how it learns the planted clips in seconds.

    Attributes:
        model: Registered name.
        arguments: Of the model.
        clips: What it learns from.
        steps: Of the optimiser.
        rate: Its highest learning rate.
        layer: Where class-activation maps are made; None for the card's own. The last layer whose cells are
            no larger than 2 frames of the patch: the CNN's last shows half of so small a frame in a cell.
    """

    model: str
    arguments: Mapping[str, int]
    clips: int
    steps: int
    rate: float
    layer: str | None = None


LEARNERS = {
    "CNN": Learner("kine_tiny", {"width": 8}, 256, 150, 3e-3, "layer1"),
    "LSTM": Learner("cnn_lstm_tiny", {"width": 8, "hidden": 16}, 256, 120, 5e-3),
    "transformer": Learner("videomae_tiny", {"length": 256}, 1024, 600, 3e-3),
    "skeleton": Learner("stgcn_tiny", {}, 1024, 1000, 1e-2),
}
_TOGETHER = 16
_TRAINING, _TEST = 1000, 2000
"""Clips of the two never have a seed in common."""


def planted(kind: str, count: int, seed: int) -> Planted:
    """Clips for one of `LEARNERS`."""
    return poses(count, seed) if kind == "skeleton" else frames(count, seed)


@cache
def trained(kind: str, seed: int) -> Recogniser:
    """A network that has learnt planted clips; the same each time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums of several threads round otherwise, and a training makes much of that
    try:
        with torch.random.fork_rng([]):
            return _learnt(kind, LEARNERS[kind], seed)
    finally:
        torch.set_num_threads(threads)


def _learnt(kind: str, learner: Learner, seed: int) -> Recogniser:
    torch.manual_seed(seed)
    spec = ClipSpec(Sampling("uniform", FRAMES), size=(SIDE, SIDE), short_side_px=SIDE)
    recogniser = create_model(
        learner.model, LABELS, arguments=learner.arguments, spec=None if kind == "skeleton" else spec
    )
    known = planted(kind, learner.clips, _TRAINING + seed)
    optimiser = torch.optim.AdamW(recogniser.parameters(), learner.rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learner.rate, total_steps=learner.steps)
    generator = torch.Generator().manual_seed(seed)
    recogniser.train()
    for _ in range(learner.steps):
        chosen = torch.randint(learner.clips, (_TOGETHER,), generator=generator)
        loss = nn.functional.cross_entropy(
            recogniser(known.clips[chosen]), known.labels[chosen], label_smoothing=0.1
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    for parameter in recogniser.parameters():
        parameter.grad = None
    return recogniser.eval()


def answered_right(kind: str, seed: int, count: int) -> tuple[Planted, float]:
    """Those of `count` new clips that have a patch and are answered right; the share of right answers."""
    clips, network = planted(kind, count, _TEST + seed), trained(kind, seed)
    with torch.no_grad():
        right = network(clips.clips).argmax(1) == clips.labels
    chosen = right & (clips.labels != NOTHING)
    found = Planted(clips.clips[chosen], clips.labels[chosen], clips.patch[chosen], clips.distractor[chosen])
    return found, float(right.float().mean())
