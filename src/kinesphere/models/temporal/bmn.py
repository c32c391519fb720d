"""Boundary-matching network: all proposals of a video at once, on a map of start by duration.

Lin et al.: "BMN: Boundary-Matching Network for Temporal Action Proposal Generation", ICCV 2019,
https://arxiv.org/abs/1907.09702, section 3.

B videos, C numbers of a row, T rows, N samples of a proposal. The cell (d, t) of a map `(T, T)` is the
proposal from t to t + d + 1 rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from kinesphere.models.weights.keymap import Ignore, KeyMap, Rename

_GROUPS = 4


@dataclass(frozen=True, eq=False)
class Matched:
    """What the network says of videos.

    Attributes:
        starts, ends: `(B, T)` probabilities that an action starts or ends at a row.
        classified, regressed: `(B, T, T)` over duration and start: the probability that the proposal is an
            action, and its expected tIoU; those of cells beyond the video mean nothing.
    """

    starts: Tensor
    ends: Tensor
    classified: Tensor
    regressed: Tensor


class BMN(nn.Module):
    """See the module; the defaults are those for ActivityNet.

    The products of the samples' weights are taken before the rows are sampled: both are linear, and a video
    has far fewer rows than its proposals have samples.

    Args:
        features: C.
        length: T, to which videos are rescaled.
        samples: N.
        per_sample: Places that a sample is the mean of.
        margin: How far the samples reach beyond a proposal, as a fraction of its length.
        width: Channels along time, a multiple of 8; the map has twice as many first, then half as many.
    """

    _indices: Tensor
    _values: Tensor

    def __init__(
        self,
        features: int,
        length: int = 100,
        samples: int = 32,
        per_sample: int = 3,
        margin: float = 0.5,
        width: int = 256,
    ) -> None:
        super().__init__()
        self.length, self.samples = length, samples
        flat = width // 2
        self.base = nn.Sequential(
            nn.Conv1d(features, width, 3, padding=1, groups=math.gcd(features, _GROUPS)),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1, groups=_GROUPS),
            nn.ReLU(),
        )
        self.start, self.end = _boundary(width), _boundary(width)
        self.proposals = nn.Sequential(nn.Conv1d(width, width, 3, padding=1), nn.ReLU())
        self.sampled = nn.Conv3d(width, 2 * width, (samples, 1, 1))
        self.map = nn.Sequential(
            nn.Conv2d(2 * width, flat, 1),
            nn.ReLU(),
            nn.Conv2d(flat, flat, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(flat, flat, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(flat, 2, 1),
            nn.Sigmoid(),
        )
        mask = sampling(length, samples, per_sample, margin)
        self.register_buffer("_indices", torch.from_numpy(mask.indices), persistent=False)
        self.register_buffer("_values", torch.from_numpy(mask.values), persistent=False)

    def forward(self, x_BCT: Tensor) -> Matched:
        """About videos of T rows.

        Raises:
            ValueError: If they have another number of rows.
        """
        if x_BCT.shape[2] != self.length:
            raise ValueError(f"The network sees {self.length} rows; got {x_BCT.shape[2]}.")
        x_BCT = self.base(x_BCT)
        deep_BFTT = torch.stack([self._matched(each) for each in self.proposals(x_BCT)]).relu()
        map_B2TT = self.map(deep_BFTT)
        return Matched(
            self.start(x_BCT).squeeze(1), self.end(x_BCT).squeeze(1), map_B2TT[:, 0], map_B2TT[:, 1]
        )

    def _matched(self, rows_CT: Tensor) -> Tensor:
        """Samples of all proposals of a video, weighted and summed: `(F, T, T)`."""
        T = self.length
        weight_FCN = self.sampled.weight[:, :, :, 0, 0]
        products_NTF = torch.einsum("fcn,ct->ntf", weight_FCN, rows_CT)
        mask = torch.sparse_coo_tensor(
            self._indices, self._values, (T * T, self.samples * T), is_coalesced=True, check_invariants=False
        )
        found: Tensor = torch.sparse.mm(mask, products_NTF.flatten(0, 1)) + self.sampled.bias
        return found.T.reshape(-1, T, T)


def _boundary(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(width, width, 3, padding=1, groups=_GROUPS),
        nn.ReLU(),
        nn.Conv1d(width, 1, 1),
        nn.Sigmoid(),
    )


@dataclass(frozen=True, eq=False)
class Sampling:
    """How much each row counts in each sample of each proposal, where it counts at all.

    Attributes:
        indices: `(2, E)` int64, ascending: the cell `d * T + t` of the map, and `sample * T + row`.
        values: `(E,)` float32.
    """

    indices: np.ndarray
    values: np.ndarray


@lru_cache(maxsize=4)
def sampling(T: int, samples: int, per_sample: int, margin: float) -> Sampling:
    """The weights of rows in samples, by linear interpolation.

    Places up to a row before the first count for it, as in the public code; beyond that, and beyond the last
    row, there is nothing.
    """
    d, t = np.nonzero(np.add.outer(np.arange(T), np.arange(T)) < T)
    reach = (d + 1) * margin
    low, high = t - reach, t + d + reach
    count = samples * per_sample
    place = low[:, None] + (high - low)[:, None] / (count - 1.0) * np.arange(count)
    down = np.trunc(place)
    part = place - down
    cells = np.broadcast_to((d * T + t)[:, None], place.shape)
    columns = np.broadcast_to(np.arange(count) // per_sample * T, place.shape)
    found = []
    for row, weight in ((down, 1 - part), (np.ceil(place), part)):
        inside = (row >= 0) & (row < T) & (weight != 0)
        key = cells[inside] * (samples * T) + columns[inside] + row[inside].astype(np.int64)
        found.append((key, weight[inside] / per_sample))
    keys, weights = (np.concatenate(each) for each in zip(*found, strict=True))
    unique, place_of = np.unique(keys, return_inverse=True)
    values = np.bincount(place_of, weights, len(unique)).astype(np.float32)
    return Sampling(np.stack(np.divmod(unique, samples * T)), values)


_COMPUTED = "is computed from the sizes of the network"
KEY_MAP = KeyMap(
    "mmaction2",
    (
        Ignore("sample_mask", _COMPUTED),
        Ignore("bm_mask", _COMPUTED),
        Rename("x_1d_b.{i}.*", "base.{i}.*"),
        Rename("x_1d_s.{i}.*", "start.{i}.*"),
        Rename("x_1d_e.{i}.*", "end.{i}.*"),
        Rename("x_1d_p.{i}.*", "proposals.{i}.*"),
        Rename("x_3d_p.0.*", "sampled.*"),
        Rename("x_2d_p.{i}.*", "map.{i}.*"),
    ),
)
