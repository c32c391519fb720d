"""`MannequinSettings`: everything that decides how a generated data set comes out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from kinesphere.core.errors import InvalidSetting
from kinesphere.synthetic.motion.primitive import MOVEMENTS

SPLITS: tuple[str, ...] = ("train", "val", "test")

DEFAULT_CLASSES: tuple[str, ...] = (
    "clap", "fall", "get up", "jump", "kick", "punch", "sit down", "stand up", "swing", "turn", "walk",
    "wave",
)  # fmt: skip

TIME_REVERSED: tuple[tuple[str, str], ...] = (
    ("sit down", "stand up"),
    ("fall", "get up"),
    ("expand", "contract"),
    ("pick up", "put down"),
    ("throw", "catch"),
    ("walk", "walk backwards"),
    ("push", "pull"),
    ("pick up with one hand", "put down with one hand"),
    ("fall forwards", "get up from the front"),
    ("fall sideways", "get up from the side"),
)
"""Pairs whose single frames look alike; only the direction of time tells them apart."""

_LATER = ("flow", "partners", "margin", "occasions")

SPEED_PAIRS: tuple[tuple[str, str], ...] = (("punch", "press"), ("swing", "slow swing"))
"""Pairs that differ only in speed."""


@dataclass(frozen=True)
class MannequinSettings:
    """A data set to generate.

    Performers and scenes are divided among the splits, so that a test video shows neither a performer nor a
    scene of the training videos.

    Attributes:
        classes: Base movements, the labels.
        clips_per_class: Videos of each class over all splits.
        imbalance: Ratio of the most to the least frequent class in training; the classes between fall
            geometrically, in the order of `classes`.
        splits: Fractions of train, val and test, summing to 1.
        size: Image `(H, W)` in pixels.
        fps: Frames per second.
        duration_s: Shortest and longest video.
        performers, scenes: How many of each over all splits.
        background_correlation: Probability, in training and validation, that a class is shown in its own
            kind of scene instead of any; 0 means that backgrounds tell nothing.
        test_background_correlation: The same in test.
        view_deg: Cameras stand within this angle of the performer's front.
        elevation_deg: Lowest and highest camera angle above the horizontal.
        shake: 0 tripod, 1 hand-held.
        shutter: Exposure as a fraction of the frame interval.
        noise: Standard deviation of sensor noise in 8-bit steps.
        clutter: Probability of an unused chair, box or ball beside the performer.
        bystanders: Probability of a second person in the background.
        partners: Probability of a second person in front of the performer, near enough to be touched, who
            stands, gives way, comes nearer or reaches out.
        occasions: Probability that a movement is shown as it happens outside of a studio: in one's own way,
            between other things, cut anyhow (`motion.variety`). Such videos have no graded evaluations.
        margin: Smallest and largest fraction of the frame's half height and width that stays free around
            the people: at 0.8 they are a fifth of the frame.
        crf: H.264 constant rate factor.
        truth: Whether to write ground truth beside the videos: joints, boxes and masks.
        flow: Whether to write the true motion of every pixel as well, which takes about as long as the
            video and several times its space.
        seed: Same seed and settings, same bytes.
    """

    classes: tuple[str, ...] = DEFAULT_CLASSES
    clips_per_class: int = 60
    imbalance: float = 1.0
    splits: tuple[float, float, float] = (0.7, 0.1, 0.2)
    size: tuple[int, int] = (120, 160)
    fps: int = 15
    duration_s: tuple[float, float] = (2.0, 2.0)
    performers: int = 30
    scenes: int = 40
    background_correlation: float = 0.0
    test_background_correlation: float = 0.0
    view_deg: float = 60.0
    elevation_deg: tuple[float, float] = (2.0, 18.0)
    shake: float = 0.4
    shutter: float = 0.5
    noise: float = 2.5
    clutter: float = 0.2
    bystanders: float = 0.0
    partners: float = 0.0
    occasions: float = 0.0
    margin: tuple[float, float] = (0.08, 0.34)
    crf: int = 23
    truth: bool = True
    flow: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.classes:
            MOVEMENTS.get(name)
        self._need(
            len(set(self.classes)) == len(self.classes) >= 1, "classes", "one or more different movements"
        )
        self._need(self.clips_per_class >= 1, "clips_per_class", "at least 1")
        self._need(self.imbalance >= 1, "imbalance", "1 (balanced) or more")
        fractions = len(self.splits) == 3 and min(self.splits) >= 0 and abs(sum(self.splits) - 1) < 1e-6
        self._need(fractions, "splits", "three fractions that sum to 1")
        self._need(min(self.size) >= 32, "size", "(H, W) of at least 32 pixels")
        self._need(1 <= self.fps <= 120, "fps", "from 1 to 120")
        shortest, longest = self.duration_s
        self._need(
            0.5 <= shortest <= longest <= 60, "duration_s", "(shortest, longest) from 0.5 to 60 seconds"
        )
        used = sum(fraction > 0 for fraction in self.splits)
        self._need(self.performers >= used, "performers", f"at least one for each of the {used} splits")
        self._need(self.scenes >= used, "scenes", f"at least one for each of the {used} splits")
        for name in (
            "background_correlation",
            "test_background_correlation",
            "clutter",
            "bystanders",
            "partners",
            "occasions",
        ):
            self._need(0 <= getattr(self, name) <= 1, name, "a probability from 0 to 1")
        self._need(0 <= self.view_deg <= 180, "view_deg", "from 0 to 180 degrees")
        least, most = self.margin
        self._need(0 <= least <= most <= 0.9, "margin", "(smallest, largest) from 0 to 0.9")
        low, high = self.elevation_deg
        self._need(-5 <= low <= high <= 60, "elevation_deg", "(lowest, highest) from -5 to 60 degrees")
        self._need(0 <= self.shake <= 3, "shake", "from 0 to 3")
        self._need(0 <= self.shutter <= 1, "shutter", "from 0 to 1")
        self._need(0 <= self.noise <= 60, "noise", "from 0 to 60")
        self._need(0 <= self.crf <= 51, "crf", "from 0 to 51")
        self._need(self.truth or not self.flow, "flow", "False where 'truth' is, of which it is a part")
        self._need(self.seed >= 0, "seed", "0 or more")

    def _need(self, met: bool, name: str, wanted: str) -> None:
        if not met:
            raise InvalidSetting(f"Mannequin setting {name!r} must be {wanted}; got {getattr(self, name)!r}.")

    def pool(self, split: str, count: int) -> range:
        """Which of `count` performers or scenes belong to a split; the splits share none."""
        used = [name for name, fraction in zip(SPLITS, self.splits, strict=True) if fraction > 0]
        if split not in used:
            return range(0)
        ends, total = [0], 0.0
        for i, name in enumerate(used):
            total += self.splits[SPLITS.index(name)]
            left = len(used) - 1 - i
            ends.append(min(max(round(total * count), ends[-1] + 1), count - left))
        i = used.index(split)
        return range(ends[i], ends[i + 1])

    def clip_count(self, label: str, split: str) -> int:
        """How many videos of a class a split gets."""
        train, val = (round(self.clips_per_class * fraction) for fraction in self.splits[:2])
        counts = {"train": train, "val": val, "test": self.clips_per_class - train - val}
        if split != "train" or len(self.classes) == 1 or counts["train"] == 0:
            return int(counts[split])
        rank = self.classes.index(label) / (len(self.classes) - 1)
        return max(1, round(counts["train"] * float(self.imbalance**-rank)))

    def plain(self) -> dict[str, Any]:
        """Plain values, as they are noted beside a set.

        Settings that came later are noted where they differ from what was there before them: older sets
        stay as they are.
        """
        values = dataclasses.asdict(self)
        for field in dataclasses.fields(self):
            if field.name in _LATER and values[field.name] == field.default:
                del values[field.name]
        return values

    def fingerprint(self) -> str:
        """SHA-256 over all settings."""
        return hashlib.sha256(json.dumps(self.plain(), sort_keys=True).encode()).hexdigest()
