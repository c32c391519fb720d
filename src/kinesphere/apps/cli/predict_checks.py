"""What `kinesphere predict` refuses before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.predict import SegmentRule


def check_drawn(draw: str, annotate: Path | None) -> None:
    """Refuse what is drawn into copies that are not asked for.

    Raises:
        InvalidSetting: If that is so.
    """
    if draw != "auto" and annotate is None:
        raise InvalidSetting("--draw belongs to annotated copies; give --annotate as well.")


def check_no_timeline(
    rule: SegmentRule, files: Mapping[str, object], stride: float | None, *, streaming: bool
) -> None:
    """Refuse what only timelines have.

    Raises:
        InvalidSetting: If an option of a timeline is given, or the rule says more than a threshold.
    """
    from kinesphere.predict import SegmentRule

    options = {"--stride": stride, "--streaming": streaming or None, **files}
    given = [name for name, value in options.items() if value is not None]
    if given:
        verb = "belongs" if len(given) == 1 else "belong"
        raise InvalidSetting(f"{' and '.join(given)} {verb} to a timeline; give --window as well.")
    if replace(rule, threshold=None) != SegmentRule():
        raise InvalidSetting(f"Without --window there are no segments to be made by: {rule}.")


def model_names(models: list[str], *, beside: bool) -> list[str]:
    """What the models are called in the answers: as they were named.

    Raises:
        InvalidSetting: If one is named twice, or files are written `beside` the answers of several.
    """
    if len(models) > 1 and beside:
        raise InvalidSetting(
            "--segments, --picture, --page, --events and --annotate take the answers of one model, and "
            f"{len(models)} are named; name one, or make one of them with `kinesphere fuse`."
        )
    twice = [name for name in dict.fromkeys(models) if models.count(name) > 1]
    if twice:
        raise InvalidSetting(f"--model {twice[0]} is given twice; name each model once.")
    return models
