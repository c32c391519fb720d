"""Whether heat lies on the people: the pointing game, and the share of heat against the share of area.

Zhang et al.: "Top-down Neural Attention by Excitation Backprop", IJCV 2018, section 4.1 (the pointing game).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kinesphere.core.errors import InvalidSetting


@dataclass(frozen=True)
class OnPeople:
    """Where the heat of a clip lies.

    Attributes:
        pointing: Share of frames whose hottest pixel is on a person, of those with heat and a person.
        energy: Share of the (positive) heat that is on people.
        area: Share of the pixels that people take; energy is to be held against it.
        frames: Number of frames with a person.
    """

    pointing: float
    energy: float
    area: float
    frames: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def on_people(heat: np.ndarray, people: np.ndarray) -> OnPeople:
    """Hold heat against where people are.

    Args:
        heat: `(N, H, W)`; what is below zero speaks against the class and does not count.
        people: bool `(N, H, W)`; frames without anybody do not count.

    Raises:
        InvalidSetting: If the shapes differ, or nobody is seen.
    """
    if heat.shape != people.shape or heat.ndim != 3:
        raise InvalidSetting(f"Heat {heat.shape} and people {people.shape} are not of the same frames.")
    seen = people.any((1, 2))
    if not seen.any():
        raise InvalidSetting("Nobody is seen in these frames; heat on people has no meaning.")
    for_class, inside = np.maximum(heat[seen], 0).astype(np.float64), people[seen]
    warm = for_class.reshape(len(for_class), -1).max(1) > 0
    hottest = for_class.reshape(len(for_class), -1).argmax(1)
    hits = np.take_along_axis(inside.reshape(len(inside), -1), hottest[:, None], 1)[:, 0]
    total = for_class.sum()
    return OnPeople(
        float(hits[warm].mean()) if warm.any() else 0.0,
        float((for_class * inside).sum() / total) if total else 0.0,
        float(inside.mean()),
        int(seen.sum()),
    )


def in_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """bool `(N, H, W)`: what lies in boxes.

    Args:
        boxes: `(N, P, 4)` as left, top, right, bottom in pixels of frames of `size`; a box without extent is
            nobody.
        size: `(H, W)`.
    """
    rows, columns = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    left, top, right, bottom = np.moveaxis(np.asarray(boxes, np.float64), -1, 0)
    across = (columns >= left[..., None]) & (columns < right[..., None])
    down = (rows >= top[..., None]) & (rows < bottom[..., None])
    inside: np.ndarray = (down[..., :, None] & across[..., None, :]).any(1)
    return inside


def around_joints(joints: np.ndarray, size: tuple[int, int], *, room: float = 0.25) -> np.ndarray:
    """bool `(N, H, W)`: the boxes around people's joints, enlarged.

    Args:
        joints: `(N, P, J, 3)` as x px, y px, score in frames of `size`.
        size: `(H, W)`.
        room: How much larger than the joints a box is, of its sides.
    """
    seen = joints[..., 2] > 0
    low = np.where(seen[..., None], joints[..., :2], np.inf).min(2)
    high = np.where(seen[..., None], joints[..., :2], -np.inf).max(2)
    nobody = ~seen.any(-1)
    low[nobody], high[nobody] = 0, 0
    margin = room / 2 * (high - low)
    return in_boxes(np.concatenate([low - margin, high + margin], -1), size)
