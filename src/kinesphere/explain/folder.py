"""What is written of an explained video: heat to compute with, a picture, a film; long work goes on again."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.clips.modality import stands_alone
from kinesphere.core.content import content_key
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import make_folder, replacing
from kinesphere.core.settings_file import claim_settings
from kinesphere.core.text import told_apart
from kinesphere.data.sources import Source, local_path
from kinesphere.explain.agreement import Agreement, agreements
from kinesphere.explain.attribution import Attribution
from kinesphere.explain.explaining import Question, explain, explain_windows
from kinesphere.explain.render.film import write_film
from kinesphere.explain.render.sheet import sheet
from kinesphere.explain.store import SUFFIX, StoredAttributions, write_attribution
from kinesphere.predict import VideoPredictor

_MOST_STRIPS = 6
"""Windows of a long video on its sheet."""


@dataclass(frozen=True)
class Asked:
    """One model with what is asked of it.

    Attributes:
        model: Its predictor.
        question: Class, method, views and work.
    """

    model: VideoPredictor
    question: Question

    @property
    def name(self) -> str:
        """Part of a file's name."""
        model = "".join(c if c.isalnum() or c in "._-" else "_" for c in Path(self.model.name).name)
        return f"{model}.{self.question.method or 'auto'}"

    def settings(self) -> dict[str, Any]:
        """Plain values of everything that heat depends on."""
        question = self.question
        return {
            "model": self.model.digest(), "method": question.method, "class": question.label,
            "against": question.against, "views": str(question.views), "work": str(question.settings),
            "faithful": str(question.faithful),
        }  # fmt: skip


@dataclass(frozen=True)
class Explained:
    """What was written of one video by one model and method.

    Attributes:
        attributions: One, or those of the windows; each is read when it is asked for.
        heat: The file with the heat, or the folder with a file for each window.
        film: The video with heat over its frames; None of a file of poses.
        agreement: How alike its maps and those of the model's other methods are, where that was asked for.
    """

    attributions: Sequence[Attribution]
    heat: Path
    film: Path | None
    agreement: tuple[Agreement, ...] = ()

    def to_json(self, picture: Path) -> dict[str, Any]:
        """One object for machines; of windows the first, with their number."""
        each = [attribution.to_json() for attribution in self.attributions]
        film = None if self.film is None else str(self.film)
        rest = {
            "agreement": [pair.to_json() for pair in self.agreement],
            "heat": str(self.heat), "overlay": film, "sheet": str(picture),
        }  # fmt: skip
        if len(each) == 1:
            return {**each[0], **rest}
        return {"source": each[0]["source"], "method": each[0]["method"], "windows": each, **rest}


def explain_video(
    asked: Sequence[Asked],
    source: Source,
    picture: Path,
    *,
    steps: tuple[float, float] | None = None,
    film: bool = True,
    agree: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[Explained]:
    """Explain one video by one model or several, and write what there is to see.

    Beside `picture`, the sheet of all of them, lie a file of heat and a film for each. With windows, each is
    kept as it is finished, and the same call goes on where it stopped.

    Args:
        asked: Models with their questions.
        source: The video.
        picture: PNG file to write.
        steps: Seconds of a window, and between the starts of windows; None explains the video as one.
        film: Whether to write films.
        agree: Whether to hold the methods of a model against each other.
        progress: Called with the number of windows that are finished.

    Raises:
        See `explain`.
        InvalidSetting: If the folder of windows was made with other settings, or the film would take the
            place of the video.
        UnwritableFile: If the place takes no files.
    """
    if film:
        check_films(asked, [(source, picture)])
    make_folder(picture.parent)
    done = []
    for each, stem in zip(asked, _stems(asked, picture), strict=True):
        heat, files = _heat(each, source, stem, steps, progress)
        found = StoredAttributions(files)
        path = local_path(source)
        has_frames = path is None or stands_alone(path) is None
        target = _film(stem) if film and has_frames else None
        if target is not None:
            write_film(found, source, target)
        done.append(Explained(found, heat, target))
    shown = [attribution for each in done for attribution in _some(each.attributions)]
    with replacing(picture) as scratch:
        scratch.write_bytes(sheet(shown, source))
    return _agreed(asked, done) if agree else done


def check_agreement(asked: Sequence[Asked]) -> None:
    """Refuse to hold methods against each other where no model is asked by two.

    Raises:
        InvalidSetting: If none is.
    """
    if all(len(places) < 2 for places in _by_model(asked)):
        raise InvalidSetting(
            "Agreement is between methods: name at least two of them, --method A --method B."
        )


def _agreed(asked: Sequence[Asked], written: Sequence[Explained]) -> list[Explained]:
    """What was written, with how far each agrees with the same model's others."""
    result = list(written)
    for places in _by_model(asked):
        if len(places) < 2:
            continue
        pairs = agreements([written[place].attributions for place in places])
        for number, place in enumerate(places):
            own = tuple(found for pair, found in pairs.items() if number in pair)
            result[place] = replace(written[place], agreement=own)
    return result


def _by_model(asked: Sequence[Asked]) -> list[list[int]]:
    """The places of each model's questions."""
    places: dict[int, list[int]] = {}
    for place, each in enumerate(asked):
        places.setdefault(id(each.model), []).append(place)
    return list(places.values())


def check_films(asked: Sequence[Asked], pictures: Collection[tuple[Source, Path]]) -> None:
    """Refuse films that would be written over one of the videos.

    Args:
        asked: Models with their questions.
        pictures: Each video with its picture, beside which its films lie.

    Raises:
        InvalidSetting: If one would.
    """
    own = {
        os.path.realpath(path).casefold()
        for path in (local_path(source) for source, _ in pictures)
        if path is not None
    }
    for _, picture in pictures:
        for film in map(_film, _stems(asked, picture)):
            if os.path.realpath(film).casefold() in own:
                raise InvalidSetting(
                    f"The film with heat would overwrite the video {film} itself; choose another place."
                )


def _film(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.mp4")


def _stems(asked: Sequence[Asked], picture: Path) -> list[Path]:
    """For each model where its files begin; models of one name, from different folders, are numbered."""
    if len(asked) == 1:
        return [picture.with_suffix("")]
    return [picture.with_suffix(f".{name}") for name in told_apart(each.name for each in asked)]


def _heat(
    asked: Asked,
    source: Source,
    stem: Path,
    steps: tuple[float, float] | None,
    progress: Callable[[int], None] | None,
) -> tuple[Path, list[Path]]:
    """Compute what is not there yet; the file or folder of heat, and the file of each attribution."""
    if steps is None:
        file = stem.with_name(stem.name + SUFFIX)
        write_attribution(file, explain(asked.model, source, asked.question))
        if progress:
            progress(1)
        return file, [file]
    folder = stem.with_name(f"{stem.name}.windows")
    window_s, stride_s = steps
    path = local_path(source)
    content = content_key(path) if path is not None and path.is_file() else str(source)
    settings = {"content": content, **asked.settings(), "window": window_s, "stride": stride_s}
    claim_settings(folder / "settings.json", settings, output=folder)
    done = len(_files(folder))
    for number, attribution in enumerate(
        explain_windows(asked.model, source, asked.question, window_s=window_s, stride_s=stride_s, skip=done),
        start=done,
    ):
        write_attribution(folder / f"{number:05d}{SUFFIX}", attribution)
        if progress:
            progress(number + 1)
    return folder, _files(folder)


def _files(folder: Path) -> list[Path]:
    """The windows that are finished, from the first on without a gap."""
    files: list[Path] = []
    while (file := folder / f"{len(files):05d}{SUFFIX}").is_file():
        files.append(file)
    return files


def _some(attributions: Sequence[Attribution]) -> list[Attribution]:
    """All, or of many windows some spread over the video."""
    count = len(attributions)
    chosen = np.linspace(0, count - 1, min(count, _MOST_STRIPS)).round().astype(int)
    return [attributions[number] for number in chosen.tolist()]
