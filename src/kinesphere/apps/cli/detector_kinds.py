"""The kinds of detectors, which verbs tell from recognisers by their files, and what each cannot take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kinesphere.core.errors import InvalidSetting


@dataclass(frozen=True)
class DetectorKind:
    """One kind of detector.

    Attributes:
        does: What its models do, after their name.
        called: It with its article, as a subject.
        sees: What it sees, so that it has no use for some options.
        file: The model file of a name, where it is one of this kind; else None.
    """

    does: str
    called: str
    sees: str
    file: Callable[[str], Any]

    def among(self, models: Sequence[str]) -> str | None:
        """The one model that is named, where it is of this kind; None for all others.

        Raises:
            InvalidSetting: If several models are named, one of this kind among them.
        """
        found = [name for name in models if self.file(name) is not None]
        if found and len(models) > 1:
            raise InvalidSetting(
                f"{found[0]} {self.does}, whose answers do not stand beside those of other models; name it "
                "alone."
            )
        return found[0] if found else None

    def refuse(self, options: Mapping[str, object]) -> None:
        """Refuse what such a detector has no use for.

        Raises:
            InvalidSetting: If one of the options is given.
        """
        if given := [name for name, value in options.items() if value is not None]:
            raise InvalidSetting(f"{' and '.join(given)}: {self.called} sees {self.sees}; leave them out.")


def _of_actions(name: str) -> Any:
    from kinesphere.localise.prediction import localiser_file

    return localiser_file(name)


def _of_people(name: str) -> Any:
    from kinesphere.localise.people.detector import people_detector_file

    return people_detector_file(name)


ACTIONS = DetectorKind(
    "finds actions in long recordings",
    "a detector of actions",
    "the whole recording, on the grid of features that it learnt from",
    _of_actions,
)
"""What finds actions in long recordings."""
PEOPLE = DetectorKind(
    "says what people in boxes do",
    "a detector of people's actions",
    "the clip that it learnt from about each time of a video, and boxes that are given",
    _of_people,
)
"""What says what people in boxes do."""


def refuse_of_detectors(options: Mapping[str, object]) -> None:
    """Refuse what only detectors of actions have.

    Raises:
        InvalidSetting: If one of the options is given.
    """
    for name, value in options.items():
        if value is not None:
            raise InvalidSetting(f"{name} belongs to detectors of actions; leave it out for a recogniser.")
