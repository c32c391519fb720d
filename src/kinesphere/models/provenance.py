"""`Provenance`: where a recogniser's weights come from, and how what it learnt from was prepared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from kinesphere.core.errors import InvalidSetting


@dataclass(frozen=True)
class Preparation:
    """How the files of poses and flow were made that a model learnt from; None is unknown, or no such files.

    The method of flow is not here: a contract states it, and refuses files of another one.

    Attributes:
        poses: What found the people: a model of MediaPipe's, such as `pose_landmarker_full`, or what else
            the files say.
        most_people: Most people looked for at a time.
        poses_fps: Poses taken a second; None where that is all frames.
        flow_short_side_px: Short side of the frames between which motion was estimated.
        flow_bound_px: Largest component of a vector that was kept, in pixels at that size.
    """

    poses: str | None = None
    most_people: int | None = None
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


@dataclass(frozen=True)
class ClipDigests:
    """Which clips a model has met, as short digests that travel with its weights.

    Each text is base64 over digests of 6 bytes (see `evaluate.seen`), sorted, each once.

    Attributes:
        train: Clips it learnt from, by content and span.
        val: Clips that steered its training.
        test: Clips it was tested on.
        files: Files of which some clip taught or steered it, by content.
        places: Clips that taught or steered it, by path and span.
        before: Clips and files that the weights it started from had learnt from.
    """

    train: str = ""
    val: str = ""
    test: str = ""
    files: str = ""
    places: str = ""
    before: str = ""

    def __post_init__(self) -> None:
        texts = [getattr(self, each.name) for each in fields(self)]
        if not all(isinstance(text, str) and len(text) % 8 == 0 for text in texts):
            raise InvalidSetting("Digests of clips are texts of 8 signs each; the record is damaged.")


@dataclass(frozen=True)
class Provenance:
    """Origin of a set of weights; stored in the checkpoint's header.

    Attributes:
        origin: What made them, for example `"initialised"`, `"imported r3d_18-b3b3357e.pth"`,
            `"trained"`.
        sha256: Digest of the file that was imported, if one was.
        training_data: Fingerprint of the manifest they were trained on, if known.
        scores: Measured results, `name -> value`.
        notes: What a user should know, for example that label names are numbers.
        preparation: How the files of their training inputs were made.
        clips: Which clips they have met; None where that is not known.
        test_views: Clips x crops that their test averaged, such as `10x3`; None where that is not known.
    """

    origin: str
    sha256: str | None = None
    training_data: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    preparation: Preparation = Preparation()
    clips: ClipDigests | None = None
    test_views: str | None = None

    def __post_init__(self) -> None:
        known = (self.sha256, self.training_data, self.test_views)
        texts = (self.origin, *(t for t in known if t is not None), *self.notes)
        if not all(isinstance(text, str) for text in texts):
            raise InvalidSetting(f"Provenance holds texts; got {texts}.")
        if not all(isinstance(v, int | float) for v in self.scores.values()):
            raise InvalidSetting(f"Provenance scores are numbers; got {self.scores}.")

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint's header."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
            InvalidSetting: If a field is unknown, missing or of the wrong form.
        """
        try:
            preparation = Preparation(**plain.get("preparation", {}))
            notes = tuple(plain.get("notes", ()))
            clips = None if plain.get("clips") is None else ClipDigests(**plain["clips"])
            return cls(**{**plain, "notes": notes, "preparation": preparation, "clips": clips})
        except (TypeError, AttributeError) as error:
            raise InvalidSetting(f"This is not a provenance record: {error}.") from error
