"""`Preparation`: how the sidecar files were made that a model learnt from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from kinesphere.core.errors import InvalidSetting

# Keys of model files that are not the attribute's name.
_STORED = {"max_people": "most_people"}


@dataclass(frozen=True)
class Preparation:
    """How the files of poses and flow were made that a model learnt from; None is unknown, or no such files.

    The method of flow is not here: a contract states it, and refuses files of another one.

    Attributes:
        poses: What found the people: a model of MediaPipe's, such as `pose_landmarker_full`, or what else
            the files say.
        max_people: Maximum number of people looked for at a time.
        poses_fps: Poses taken a second; None where that is all frames.
        flow_short_side_px: Short side of the frames between which motion was estimated.
        flow_bound_px: Largest component of a vector that was kept, in pixels at that size.
    """

    poses: str | None = None
    max_people: int | None = None
    poses_fps: float | None = None
    flow_short_side_px: int | None = None
    flow_bound_px: float | None = None

    def __post_init__(self) -> None:
        numbers = [value for each in fields(self) if (value := getattr(self, each.name)) is not None]
        poses = self.poses
        if poses is not None and not isinstance(numbers.pop(0), str):
            raise InvalidSetting(f"Poses come from something with a name; got {poses!r}.")
        if not all(isinstance(value, int | float) and value > 0 for value in numbers):
            raise InvalidSetting(f"Inputs are prepared with numbers above 0; got {self}.")

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model file, under the keys that these have had from the start."""
        plain = asdict(self)
        return {_STORED.get(name, name): value for name, value in plain.items()}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Preparation:
        """Inverse of `to_json`.

        Raises:
            TypeError: If a key is unknown.
        """
        names = {stored: name for name, stored in _STORED.items()}
        return cls(**{names.get(key, key): value for key, value in plain.items()})

    @classmethod
    def common(cls, parts: Sequence[Preparation]) -> tuple[Preparation, tuple[str, ...]]:
        """What most of several say, and the names of what those who know it differ in."""
        values, differing = {}, []
        for name in (each.name for each in fields(cls)):
            known = Counter(value for part in parts if (value := getattr(part, name)) is not None)
            values[name] = known.most_common(1)[0][0] if known else None
            if len(known) > 1:
                differing.append(name)
        return cls(**values), tuple(differing)
