"""What classes of imported weights are called: as the caller, the file or the card says."""

from __future__ import annotations

from collections.abc import Sequence

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models.card import WeightEntry
from kinesphere.models.weights.checking import Source
from kinesphere.models.weights.class_names import numbered, published_names
from kinesphere.models.weights.readers.class_lists import Stated

_REMEDY = "give the names in the file's order as labels (`--labels FILE`)."


def class_names(source: Source, entry: WeightEntry | None, classes: int) -> tuple[LabelSet, list[str]]:
    """Names of the classes, and what to note about them."""
    if source.labels is not None:
        names = source.labels if isinstance(source.labels, LabelSet) else LabelSet(tuple(source.labels))
        if len(names) != classes:
            raise InvalidCheckpoint(
                f"The weights have {classes} classes, but {len(names)} labels were given."
            )
        return names, []
    fitting = [stated for stated in source.stated if len(stated.names) == classes]
    own = [stated for stated in source.stated if not stated.is_beside]
    if fitting:
        return _stored(fitting, classes)
    if own:
        raise InvalidCheckpoint(
            f"The weights have {classes} classes, but the file names {len(own[0].names)}; its "
            f"{own[0].where!r} does not fit: {_REMEDY}"
        )
    published = None if entry is None else published_names(entry)
    if entry is not None and published is not None and len(published) == classes:
        return published, [f"label names are those of {entry.labels}, in the publisher's order"]
    notes = [
        f"{each.where} names {len(each.names)} classes, not {classes}: not used" for each in source.stated
    ]
    return numbered(classes), ["label names are numbers: the file held none and none were given", *notes]


def _stored(fitting: Sequence[Stated], classes: int) -> tuple[LabelSet, list[str]]:
    """The names that a file states; refused where several lists contradict each other."""
    first, *others = fitting
    for other in others:
        if other.is_beside == first.is_beside:
            raise InvalidCheckpoint(
                f"There are {classes} class names in {first.where} and others in {other.where}; {_REMEDY}"
            )
    try:
        labels = LabelSet(first.names)
    except InvalidSetting as error:
        raise InvalidCheckpoint(f"The file's class names are unusable ({error}); {_REMEDY}") from error
    return labels, [f"label names are those of {first.where}, beside the file"] if first.is_beside else []
