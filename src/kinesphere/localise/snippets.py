"""What a structured segment network is shown in training: proposals of a few videos, and snippets of each.

Stages are divided into equal parts, and each part gives one snippet at random (Wang et al. 2016, section 3.1;
Zhao et al. 2017, section 4). A snippet is a row of the features, whether it is read from them or seen anew.

P proposals, S snippets of each. Proposals are `[first, end)` in rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinesphere.localise.settings import TrainDetectorSection
from kinesphere.localise.structured import Pools, drawn
from kinesphere.models.temporal.ssn import Placed

DRAWS = 10
"""Each video is drawn from so many times in an epoch."""
_OUTSIDE = 0.5
"""Starting and ending stages are so long, in lengths of the proposal."""


@dataclass(frozen=True, eq=False)
class Shown:
    """The proposals of one step.

    Attributes:
        video: `(P,)` int64: number of the video that each is of.
        rows: `(P, S)` int64: its snippets, those of the starting stage first.
        scale: `(P, 2)`: fractions of the starting and ending stage that lie in the video.
        labels: `(P,)` int64.
        targets: `(P, 2)`: what regression should answer, normalised.
    """

    video: Tensor
    rows: Tensor
    scale: Tensor
    labels: Tensor
    targets: Tensor

    def each_once(self) -> tuple[Tensor, Tensor]:
        """Snippets `(N, 2)`, video and row, each once and in the order of videos and time; and which of them
        `(P, S)` are those of the proposals."""
        pairs_PS2 = torch.stack((self.video[:, None].expand_as(self.rows), self.rows), -1)
        each_N2, which = pairs_PS2.flatten(0, 1).unique(dim=0, return_inverse=True)
        return each_N2, which.view_as(self.rows)


@dataclass(frozen=True, eq=False)
class Draws:
    """The proposals of all steps of a training, which depend on seed and epoch alone.

    Attributes:
        videos: Proposals of each video by what they are for.
        lengths: Rows of each.
        targets: `(2, 2)`: mean and deviation of what is regressed.
        counts: Snippets of the three stages.
        settings: Videos of a step, and the seed.
    """

    videos: Sequence[Pools]
    lengths: Sequence[int]
    targets: Tensor
    counts: tuple[int, int, int]
    settings: TrainDetectorSection

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return -(-len(self.videos) * DRAWS // self.settings.batch_size)

    def of(self, epoch: int) -> Iterator[Shown]:
        """The steps of an epoch."""
        rng = np.random.default_rng((self.settings.seed, epoch))
        order = rng.permutation(np.repeat(np.arange(len(self.videos)), DRAWS))
        for first in range(0, len(order), self.settings.batch_size):
            videos = order[first : first + self.settings.batch_size]
            pairs = [pair for video in videos for pair in drawn(self.videos, int(video), rng)]
            yield self._shown(pairs, rng)

    def _shown(self, pairs: list[tuple[int, int]], rng: np.random.Generator) -> Shown:
        rows, scales, labels, targets = [], [], [], []
        for video, index in pairs:
            pools, length = self.videos[video], self.lengths[video]
            where = placed(pools.segments[index : index + 1], length)
            rows.append(snippet_rows(where.ticks[0], self.counts, length, rng))
            scales.append(where.scale)
            labels.append(int(pools.labels[index]))
            targets.append(pools.targets[index])
        wanted = torch.from_numpy(np.stack(targets)).float()
        return Shown(
            torch.tensor([video for video, _ in pairs]),
            torch.stack(rows),
            torch.cat(scales),
            torch.tensor(labels),
            (wanted - self.targets[0]) / self.targets[1],
        )


def placed(segments_P2: np.ndarray, rows: int) -> Placed:
    """The stages of proposals `[first, end)` on the rows of a video."""
    start, end = segments_P2.T
    outside = np.maximum(end - start, 1e-6) * _OUTSIDE
    first, last = np.maximum(start - outside, 0.0), np.minimum(end + outside, float(rows))
    ticks = np.round(np.stack((first, start, end, last), 1)).astype(np.int64).clip(0, rows)
    scale = np.stack(((start - first) / outside, (last - end) / outside), 1).clip(0, 1)
    return Placed(torch.from_numpy(ticks), torch.from_numpy(scale).float())


def snippet_rows(
    ticks_4: Tensor, counts: tuple[int, int, int], rows: int, rng: np.random.Generator
) -> Tensor:
    """Rows `(S,)` drawn from the equal parts of each stage."""
    found = []
    for stage, count in enumerate(counts):
        first, end = int(ticks_4[stage]), int(ticks_4[stage + 1])
        found.append(first + (np.arange(count) + rng.random(count)) * max(1, end - first) / count)
    return torch.from_numpy(np.concatenate(found).astype(np.int64).clip(0, rows - 1))
