"""`Provenance`: where a recogniser's weights come from, and how what it learnt from was prepared."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from kinesphere.clips.preparation import Preparation
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.rejection import Rejection


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
class Lesson:
    """A training that weights went through.

    Attributes:
        data: Names of the data sets that taught, several where they did so at once.
        clips: Training clips of each.
        classes: Classes of each.

    Raises:
        InvalidSetting: If there are not as many numbers as names, or they are no whole numbers above 0.
    """

    data: tuple[str, ...]
    clips: tuple[int, ...]
    classes: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (*self.clips, *self.classes)
        fits = len(self.data) == len(self.clips) == len(self.classes) > 0
        if not fits or not all(type(number) is int and number > 0 for number in numbers):
            raise InvalidSetting("A record of training has clips and classes, above 0, for each data set.")
        if not all(isinstance(name, str) for name in self.data):
            raise InvalidSetting("A record of training names its data sets by texts.")

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `dataclasses.asdict`."""
        return cls(**{name: tuple(values) for name, values in plain.items()})

    def __str__(self) -> str:
        parts = zip(self.data, self.clips, self.classes, strict=True)
        return " + ".join(f"{name} ({clips} clips, {classes} classes)" for name, clips, classes in parts)


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
        rejection: When these weights answer that they know none of what they see; None for never.
        trained_on: Public data sets that the weights it started from had learnt from, first to last (see
            `weights.training_sets`); none where that is not known.
        class_counts: Training clips by class; None where that is not known.
        lessons: Trainings that the weights went through, first to last, after those of `trained_on`; none in
            files of versions that did not note them.
    """

    origin: str
    sha256: str | None = None
    training_data: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    preparation: Preparation = Preparation()  # noqa: RUF009 (frozen)
    clips: ClipDigests | None = None
    test_views: str | None = None
    rejection: Rejection | None = None
    trained_on: tuple[str, ...] = ()
    class_counts: dict[str, int] | None = None
    lessons: tuple[Lesson, ...] = ()

    def __post_init__(self) -> None:
        known = (self.sha256, self.training_data, self.test_views)
        texts = (self.origin, *(t for t in known if t is not None), *self.notes, *self.trained_on)
        if not all(isinstance(text, str) for text in texts):
            raise InvalidSetting(f"Provenance holds texts; got {texts}.")
        if not all(isinstance(v, int | float) for v in self.scores.values()):
            raise InvalidSetting(f"Provenance scores are numbers; got {self.scores}.")
        counts = {} if self.class_counts is None else self.class_counts
        if not all(isinstance(name, str) and type(n) is int and n >= 0 for name, n in counts.items()):
            raise InvalidSetting("Provenance holds the training clips of each class as whole numbers.")

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint's header."""
        plain = asdict(self) | {"preparation": self.preparation.to_json()}
        for name in ("rejection", "class_counts"):
            if plain[name] is None:  # as files of before
                del plain[name]
        if not self.lessons:
            del plain["lessons"]
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
            InvalidSetting: If a field is unknown, missing or of the wrong form.
        """
        try:
            preparation = Preparation.from_json(plain.get("preparation", {}))
            notes = tuple(plain.get("notes", ()))
            clips = None if plain.get("clips") is None else ClipDigests(**plain["clips"])
            rejection = None if plain.get("rejection") is None else Rejection.from_json(plain["rejection"])
            changed = {"notes": notes, "preparation": preparation, "clips": clips, "rejection": rejection}
            sets = tuple(plain.get("trained_on", ()))
            lessons = tuple(Lesson.from_json(each) for each in plain.get("lessons", ()))
            return cls(**{**plain, **changed, "trained_on": sets, "lessons": lessons})
        except (TypeError, AttributeError) as error:
            raise InvalidSetting(f"This is not a provenance record: {error}.") from error
