"""Detectors of people's actions, which the verbs tell from recognisers by their files."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinesphere.apps.cli.console import check_results, console, end, print_json, progress, say
from kinesphere.apps.cli.detector_kinds import PEOPLE
from kinesphere.apps.cli.detectors import Run
from kinesphere.apps.cli.event_options import say_doubts
from kinesphere.apps.cli.people_options import people_settings
from kinesphere.apps.cli.score import show
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.core.device import Compute
    from kinesphere.predict import Opening
    from kinesphere.predict.people import PeopleSettings


def settings_of(
    detector: str | None,
    people: bool,
    tracks: Path | None,
    tracks_fps: float | None,
    window: float | None,
    stride: float | None,
    whole: Mapping[str, object],
    *,
    several: bool,
) -> PeopleSettings | None:
    """How people are asked about, by a recogniser or by a detector, which takes no options of `whole` frames;
    None where they are not.

    Raises:
        InvalidSetting: If options contradict each other or the model.
    """
    if detector is None:
        return people_settings(people, tracks, tracks_fps, window, stride, several=several)
    from kinesphere.localise.people.prediction import STRIDE_S

    PEOPLE.refuse({"--window": window, **whole})
    settings = people_settings(True, tracks, tracks_fps, None, None, several=several)
    assert settings is not None
    return replace(settings, stride_s=STRIDE_S if stride is None else stride)


def find_people(
    run: Run,
    by: tuple[str, Compute, Opening],
    asked: Any,
    wanted: list[str],
    out: Path | None,
    screen: Any,
) -> tuple[int, int]:
    """Ask a detector about the people of all videos and show what they do; see `predict`.

    Args:
        run: Asks about all videos.
        by: The detector, where it runs, and where poses lie.
        asked: How people are asked about, and their tracks.
        wanted: The videos.
        out: Resumable output.
        screen: Shows the answers.
    """
    from kinesphere.localise.people.prediction import PeoplePredictor, predict_people_actions
    from kinesphere.predict import PredictionLog

    detector, compute, opening = by
    predictor = PeoplePredictor.load(detector, compute=compute, opening=opening)
    tracked = asked.tracks is not None
    say_doubts(screen.finder, predictor.detector.labels, people=True, tracks=tracked)
    depends = {"model": predictor.digest()} | asked.settings() | screen.settings()
    log = PredictionLog(out, depends, top=screen.top) if out else None
    ask = partial(predict_people_actions, predictor, tracks=asked.tracks, settings=asked.people)
    with log or nullcontext():
        return run(lambda sources, heard: ask(sources, progress=heard), wanted, log, screen)


@dataclass(frozen=True)
class Truth:
    """The keyframes that a detector is scored on.

    Attributes:
        labels: File of keyframes, or a folder of files.
        videos: Folder of the videos; None is that of the labels.
        label_map: Names of the classes of AVA's form; None takes the detector's numbers.
        tracks: Folder of the tracks of a table; None takes that of the detector's recipe.
        split: Subset of the videos; None for all.
    """

    labels: Path
    videos: Path | None = None
    label_map: Path | None = None
    tracks: Path | None = None
    split: str | None = None

    def refuse(self) -> None:
        """Refuse what only detectors of people's actions have.

        Raises:
            InvalidSetting: If one of the options is given.
        """
        options = {"--videos": self.videos, "--label-map": self.label_map, "--tracks": self.tracks}
        given = [name for name, value in options.items() if value is not None]
        if given:
            raise InvalidSetting(f"{' and '.join(given)}: only detectors of people's actions take them.")


def evaluate_people_detector(
    model: str, truth: Truth, compute: Compute, out: Path | None, *, as_json: bool
) -> None:
    """Score a detector on keyframes, print AVA's scores, and leave with exit code 1 if videos are missing."""
    from kinesphere.localise.people.evaluation import evaluate_people
    from kinesphere.localise.people.prediction import PeoplePredictor
    from kinesphere.localise.people.run import keyframes_for, trained_on

    check_results("--out", out)
    detector = PeoplePredictor.load(model, compute=compute).detector
    with progress("Evaluating", "keyframes", hidden=as_json) as advance:
        keyframes, skipped = keyframes_for(
            detector, Path(model), truth.labels, truth.videos, truth.label_map, truth.tracks, truth.split
        )
        result = evaluate_people(
            detector, keyframes, compute, skipped=skipped, seen=trained_on(Path(model)), advance=advance
        )
    document = result.to_json(detector)
    if out is not None:
        from kinesphere.apps.html.people_detector import write_people_html

        result.write(out, document)
        page = write_people_html(out)
    if as_json:
        print_json(document)
    else:
        show(result.scores, as_json=False)
        console().print(f"random scores on the same boxes: {result.chance.scores['map@0.5']}", style="dim")
        for each in result.skipped:
            say("left out", "yellow", f"{each.path}: {each.reason}")
        if out is not None:
            console().print(f"report  {page}", soft_wrap=True)
        if result.seen:
            many = f"{len(result.seen)} of {len(result.truth.videos)} videos"
            console().print(f"{many} were trained on, which flatters the scores", style="bold red")
    end(sum(each.is_failure for each in result.skipped))
