"""How much of what a model's answers rest on is on people, over the clips of a study."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, VideoError
from kinesphere.core.files import write_text
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import read_json
from kinesphere.data import Manifest
from kinesphere.data.background import people_at
from kinesphere.data.sample import Sample
from kinesphere.data.sources import Opening
from kinesphere.evaluate.metrics import Score
from kinesphere.evaluate.paired import mean_share
from kinesphere.explain.explaining import Question, explain
from kinesphere.explain.people import OnPeople, on_people
from kinesphere.predict import VideoPredictor

# Heat is held against masks at no more than so many rows and columns, and kept after so many clips.
_MOST_PX = 160
_KEPT = 16


@dataclass(frozen=True)
class OnPeopleShare:
    """Where the heat of a model's own answers lies, over clips as they are.

    Attributes:
        method: Name of the method.
        clips: Each clip's figures, by its id.
        groups: Group of each of these clips, by its id.
        left_out: Clips without a figure, with the reason.
        energy: Share of the heat for the answer that is on people, mean over clips.
        area: Share of the pixels that people take; energy is to be held against it.
        pointing: Share of frames whose hottest pixel is on a person.
    """

    method: str
    clips: Mapping[str, OnPeople]
    groups: Mapping[str, str | None]
    left_out: tuple[Skipped, ...]
    energy: Score
    area: Score
    pointing: Score

    @classmethod
    def of(
        cls,
        method: str,
        clips: Mapping[str, OnPeople],
        groups: Mapping[str, str | None],
        left_out: tuple[Skipped, ...] = (),
    ) -> OnPeopleShare:
        """The means over some clips."""
        units = [groups[name] for name in clips]

        def mean(values: list[float]) -> Score:
            return mean_share(np.array(values), units)

        return cls(
            method, clips, groups, left_out,
            mean([each.energy for each in clips.values()]),
            mean([each.area for each in clips.values()]),
            mean([each.pointing for each in clips.values()]),
        )  # fmt: skip

    def line(self) -> str:
        """In a sentence."""
        return (
            f"Of the heat for its answers to {len(self.clips)} unchanged clips, by {self.method}, "
            f"{self.energy} is on people, who take {self.area} of the pixels; the hottest pixel of a frame "
            f"is on a person in {self.pointing} of the frames."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        scores = {"energy": self.energy, "area": self.area, "pointing": self.pointing}
        return {
            "method": self.method,
            **{name: each.to_json() for name, each in scores.items()},
            "clips": len(self.clips),
            "left_out": [each.to_json() for each in self.left_out],
        }


def share_on_people(
    model: VideoPredictor,
    manifest: Manifest,
    question: Question,
    file: Path,
    extracts: Extracts,
    progress: Callable[[int, int], None] | None = None,
) -> OnPeopleShare | None:
    """Explain each clip's answer and hold its heat against the people; None where no clip gives a figure.

    Args:
        model: What is explained.
        manifest: Clips with masks.
        question: By which method.
        file: Where the figures are kept; the same call goes on where it stopped.
        extracts: Where masks lie.
        progress: Told how many clips are done of how many.

    Raises:
        InvalidSetting: If the method is not defined for the model, or the file was made by another one.
    """
    kept = _read(file)
    place = Opening(extracts, extracting=False)
    for number, sample in enumerate(manifest, start=1):
        if sample.id not in kept:
            kept[sample.id] = _figures(model, sample, question, place)
            if number % _KEPT == 0:
                write_text(file, json.dumps(kept) + "\n")
        if progress is not None:
            progress(number, len(manifest))
    write_text(file, json.dumps(kept) + "\n")
    own = {sample.id: sample for sample in manifest}
    found = {name: kept[name] for name in own if "energy" in kept[name]}
    left_out = tuple(Skipped(str(own[name].path), kept[name]["reason"]) for name in own if name not in found)
    if not found:
        return None
    groups = {name: own[name].group for name in found}
    methods = dict.fromkeys(str(each.pop("method")) for each in found.values())
    clips = {name: OnPeople(**each) for name, each in found.items()}
    return OnPeopleShare.of(" or ".join(methods), clips, groups, left_out)


def _read(file: Path) -> dict[str, dict[str, Any]]:
    """The figures of clips that are done, or why there are none."""
    if not file.is_file():
        return {}
    kept = read_json(file, InvalidSetting)
    if not isinstance(kept, dict) or not all(map(_is_figure, kept.values())):
        raise InvalidSetting(f"{file} holds no figures of clips; remove it, or name another --out.")
    return kept


def _is_figure(each: object) -> bool:
    """Whether it is what `_figures` gives."""
    if not isinstance(each, dict):
        return False
    if each.keys() == {"reason"}:
        return isinstance(each["reason"], str)
    shares = [each.get(name) for name in ("pointing", "energy", "area")]
    return (
        each.keys() == {"method", *(own.name for own in fields(OnPeople))}
        and isinstance(each["method"], str)
        and isinstance(each["frames"], int)
        and all(isinstance(share, int | float) and 0 <= share <= 1 for share in shares)
    )


def _figures(model: VideoPredictor, sample: Sample, question: Question, place: Opening) -> dict[str, Any]:
    """The figures of one clip and the method, or the reason why there are none."""
    try:
        found = explain(model, sample.path, question, span=sample.span)
        pixels = [heat for heat in found.heats if not heat.of_joints]
        if not pixels:
            return {"reason": "all of its heat belongs to joints"}
        times = np.unique(np.concatenate([heat.times for heat in pixels]))
        size = _drawn(found.size)
        with place.open(sample.path, also=["mask"], files=dict(sample.sidecars)) as video:
            people = people_at(video, times, size) > 127
    except (VideoError, InvalidAnnotation) as error:
        return {"reason": str(error)}
    seen = people.any((1, 2))
    if not seen.any():
        return {"reason": "nobody is seen in the frames that the model saw"}
    heat = found.on_source(times, size)
    if not (heat[seen] > 0).any():
        return {"reason": "nothing speaks for the answer"}
    return {"method": found.method, **on_people(heat, people).to_json()}


def _drawn(size: Size) -> Size:
    scale = min(1.0, _MOST_PX / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
