"""Weights that come with the package: model files of ours in `models/box`, known by their headers."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import BrokenPackage, InvalidCheckpoint, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models.box import FOLDER, LICENCE, LIMITS, SCORES
from kinesphere.models.card import ReportedScore, WeightEntry
from kinesphere.models.header import header_of, metadata_of

LAYOUT = "kinesphere"
"""The layout of model files of ours, which need no key map."""


def shipped_weights(model: str, spec: ClipSpec, folder: Path = FOLDER) -> tuple[WeightEntry, ...]:
    """The entries of a model's weights in the box.

    Args:
        model: Name of the model.
        spec: Its first input contract.
        folder: Where the files lie.

    Raises:
        BrokenPackage: If a file of the box cannot be read.
    """
    scores = _scores(folder)
    return tuple(
        _entry(path, header, spec, scores.get(path.name, ()))
        for path, header in _files(folder).get(model, ())
    )


@cache
def _files(folder: Path) -> dict[str, list[tuple[Path, dict[str, Any]]]]:
    """The files of the box with their headers, by model."""
    found: dict[str, list[tuple[Path, dict[str, Any]]]] = defaultdict(list)
    for path in sorted(folder.glob("*.safetensors")):
        try:
            header = header_of(metadata_of(path), path.name)
            found[header["architecture"]].append((path, header))
        except (InvalidCheckpoint, KeyError) as error:
            raise BrokenPackage(
                f"{path} came with Kinesphere and is damaged: {error}; install it again."
            ) from error
    return found


@cache
def _scores(folder: Path) -> dict[str, tuple[ReportedScore, ...]]:
    path = folder / SCORES
    if not path.is_file():
        return {}
    table = json.loads(path.read_text(encoding="utf-8"))
    return {name: tuple(ReportedScore(**score) for score in scores) for name, scores in table.items()}


def _entry(
    path: Path, header: dict[str, Any], spec: ClipSpec, scores: tuple[ReportedScore, ...]
) -> WeightEntry:
    try:
        own = ClipSpec.from_json(header["specs"][0])
        names = LabelSet.from_json(header["labels"]).names
        notes = tuple(header["provenance"]["notes"])
    except (InvalidSetting, KeyError, IndexError, TypeError) as error:
        raise BrokenPackage(
            f"The header of {path} is not whole: {error!r}; install Kinesphere again."
        ) from error
    return WeightEntry(
        tag=path.stem.partition("_")[0],
        url="",
        layout=LAYOUT,
        labels=None,
        classes=len(names),
        licence=LICENCE,
        trained_on=("generated_people",),
        spec=None if own == spec else own,
        scores=scores,
        file=str(path),
        names=names,
        notes=(*notes, *LIMITS),
    )
