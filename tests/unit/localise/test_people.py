from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from safetensors.torch import load_file
from typer.testing import CliRunner

from kinesphere.annotations.formats.ava import AvaBoxes, read_ava, read_label_map
from kinesphere.annotations.formats.mot import write_tracks
from kinesphere.annotations.keyframes import Keyframe, Keyframes, KeyPerson
from kinesphere.annotations.timed import Detection, Track
from kinesphere.apps.cli.main import app
from kinesphere.apps.html.keyframes import seen_frames
from kinesphere.clips.augment.parameters import AugmentParameters
from kinesphere.clips.clip import Clip
from kinesphere.clips.geometry import Box, Geometry
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.device import Compute
from kinesphere.core.errors import (
    InvalidAnnotation,
    InvalidCheckpoint,
    InvalidSetting,
    LabelMismatch,
    SpanOutsideVideo,
)
from kinesphere.evaluate.files.boxes import score_boxes
from kinesphere.localise.people import run as module
from kinesphere.localise.people.clips import boxes_after, clip_times_about, read_about, still_seen
from kinesphere.localise.people.detector import PeopleDetector, people_detector_file
from kinesphere.localise.people.evaluation import evaluate_people
from kinesphere.localise.people.keyframe_set import together
from kinesphere.localise.people.prediction import PeoplePredictor, times_of
from kinesphere.localise.people.run import keyframes_for, train_people
from kinesphere.localise.people.settings import PeopleRecipe
from kinesphere.models import create_model, save_model
from kinesphere.predict.people import write_people
from kinesphere.video import Video, VideoWriter

QUIET = Console(file=io.StringIO())
SIZE, FPS, SECONDS = (48, 64), 8, 5
BOXES = {1: (4, 8, 28, 40), 2: (36, 8, 60, 40)}
CPU = Compute("cpu", "fp32", True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos of two squares, of which one blinks or both do; annotated in AVA's form, with tracks."""
    folder = tmp_path_factory.mktemp("squares")
    rng = np.random.default_rng(0)
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for number in range(6):
        blinks = {1: number % 2 == 0, 2: number % 3 != 0}
        shades = {who: int(rng.integers(90, 160)) for who in BOXES}
        name = f"v{number}"
        with VideoWriter(folder / f"{name}.mp4", SIZE, FPS, quality=10) as writer:
            for t in range(SECONDS * FPS):
                frame = np.full((*SIZE, 3), 40, np.uint8)
                for who, (left, top, right, bottom) in BOXES.items():
                    bright = shades[who] + (90 if blinks[who] and t % 4 < 2 else 0)
                    frame[top:bottom, left:right] = bright
                writer.write(frame)
        for second in range(SECONDS):
            for who, box in BOXES.items():
                corners = ",".join(f"{v / s:.4f}" for v, s in zip(box, SIZE[::-1] * 2, strict=True))
                action = 12 if blinks[who] else 3
                lines["train" if number < 4 else "test"].append(
                    f"{name},{second:04d},{corners},{action},{who}"
                )
        count = SECONDS * FPS
        write_tracks(
            folder / "tracks" / name,
            [
                Track(who, np.arange(1, count + 1), np.tile(np.array(box, float), (count, 1)), np.ones(count))
                for who, box in BOXES.items()
            ],
        )
    for part, rows in lines.items():
        (folder / f"{part}.csv").write_text("\n".join(rows) + "\n")
    (folder / "map.pbtxt").write_text('item { name: "blink" id: 12 }\nitem { name: "still" id: 3 }\n')
    return folder


def recipe(place: Path, out: Path, **changes: Any) -> PeopleRecipe:
    settings: dict[str, Any] = {
        "data": {
            "videos": str(place),
            "labels": str(place / "train.csv"),
            "test_labels": str(place / "test.csv"),
            "label_map": str(place / "map.pbtxt"),
        },
        "model": {"name": "kine_motion_tiny", "bins": 4, "dropout": 0.0},
        "clip": {"sampling": "8x1x1", "size": SIZE},
        "augment": {"preset": "light", "crop": "random_resized", "crop_scale": (0.8, 1.0), "enlarge": 1.25},
        "optimizer": {"lr": 0.01},
        "schedule": {"warmup_epochs": 0},
        "train": {"epochs": 6, "batch_size": 4},
        "compute": {"device": "cpu", "precision": "fp32", "threads": 1},
        "out": str(out),
    }
    for key, value in changes.items():
        section, name = key.split("__")
        settings.setdefault(section, {})[name] = value
    return PeopleRecipe.model_validate(settings)


@pytest.fixture(scope="module")
def run(place: Path, tmp_path_factory: pytest.TempPathFactory) -> module.PeopleRun:
    return train_people(recipe(place, tmp_path_factory.mktemp("runs") / "run"), console=QUIET)


def test_a_detector_learns_what_the_people_in_boxes_do(run: module.PeopleRun) -> None:
    assert run.scores.scores["map@0.5"].value > 0.95 > run.chance.scores["map@0.5"].value
    assert run.line().startswith("frame-mAP at IoU 0.5: ")
    report = json.loads((run.folder / "report.json").read_text())
    assert report["classes"] == ["still", "blink"]
    assert report["trained_on"] == ["v0", "v1", "v2", "v3"]
    assert report["videos_trained_on"] == []
    # What lies in the folder is scored alike by anybody who has no model.
    names = read_label_map(run.folder / "label_map.pbtxt")
    assert names == {"3": "still", "12": "blink"}
    found, truth = (read_ava(run.folder / name) for name in ("detections.csv", "truth.csv"))
    again = score_boxes(found, truth, names=names)
    assert again.scores["map@0.5"].value == pytest.approx(report["scores"]["map@0.5"], abs=1e-6)


def test_the_page_of_a_run_shows_keyframes_that_play(run: module.PeopleRun, tmp_path: Path) -> None:
    from kinesphere.apps.html import write_people_html

    page = write_people_html(run.folder).read_text()
    assert "frame-mAP at IoU 0.5" in page
    assert "random scores" in page
    # Two videos of five seconds with two boxes each are tested on; each keyframe is a row with its picture.
    assert page.count('title="Play the moment"') == 10
    assert page.count("data:image/jpeg") == 10
    assert page.count("<video") == 2
    assert 'data-start="0.500" data-end="1.500"' in page
    assert page.count('<i class="right"') + page.count('<i class="wrong"') == 20
    moved = tmp_path / "run"
    shutil.copytree(run.folder, moved)
    report = json.loads((moved / "report.json").read_text())
    report["videos"] = {name: str(tmp_path / "gone.mp4") for name in report["videos"]}
    (moved / "report.json").write_text(json.dumps(report))
    without = write_people_html(moved).read_text()
    assert "The video is not there" in without
    assert "data:image/jpeg" not in without
    del report["chance"]
    (moved / "report.json").write_text(json.dumps(report))
    with pytest.raises(InvalidSetting, match="no report of a detector: it lacks chance"):
        write_people_html(moved)


def test_boxes_of_keyframes_go_with_their_answers() -> None:
    names = {"1": "walk", "2": "wave"}
    box, other = (0.1, 0.2, 0.5, 0.9), (0.5, 0.2, 0.9, 0.9)
    truth = Keyframes(
        (Keyframe("v", 2.0, (KeyPerson(box, ("walk",)), KeyPerson(other))),), {"walk": 1, "wave": 2}
    )
    found = AvaBoxes(
        tuple(
            Detection("v", number, 2.0, 2.0, score=score, box=each)
            for each, scores in ((box, (0.2, 0.7)), (other, (0.6, 0.1)))
            for number, score in zip(names, scores, strict=True)
        ),
        (("v", 2),),
    )
    (seen,) = seen_frames(found, truth, names)
    first, second = seen.people
    assert (first.done, first.answers[0], first.is_right) == (("walk",), ("wave", 0.7), False)
    assert (second.done, second.answers[0], second.is_right) == ((), ("walk", 0.6), None)
    assert seen.judged == [False]


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_detector(place: Path, tmp_path: Path, monkeypatch) -> None:
    changes = {"train__epochs": 3, "train__ema": 0.9}
    train_people(recipe(place, tmp_path / "whole", **changes), console=QUIET)

    def stop(self: object, trainer: Any, task: object) -> None:
        if trainer.current_epoch == 1:
            raise RuntimeError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(module.ShowEpochs, "on_train_epoch_end", stop)
        with pytest.raises(RuntimeError, match="stopped"):
            train_people(recipe(place, tmp_path / "parts", **changes), console=QUIET)
    with pytest.raises(InvalidSetting, match="already holds a run; go on with it by --resume"):
        train_people(recipe(place, tmp_path / "parts", **changes), console=QUIET)
    other = recipe(place, tmp_path / "parts", **changes, model__bins=2)
    with pytest.raises(InvalidSetting, match="begun with other settings of model"):
        train_people(other, resume=True, console=QUIET)
    train_people(recipe(place, tmp_path / "parts", **changes), resume=True, console=QUIET)
    whole, parts = (load_file(tmp_path / each / "model.safetensors") for each in ("whole", "parts"))
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value)


@pytest.mark.slow
def test_workers_that_are_spawned_give_the_same_detector(place: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("kinesphere.data.loader.start_method", lambda: "spawn")
    for count in (0, 1):
        one = recipe(place, tmp_path / str(count), train__epochs=1, train__workers=count)
        train_people(one, console=QUIET)
    here, there = (load_file(tmp_path / str(count) / "model.safetensors") for count in (0, 1))
    assert all(torch.equal(value, there[name]) for name, value in here.items())


def test_predictions_are_what_was_scored(run: module.PeopleRun, place: Path, tmp_path: Path) -> None:
    predictor = PeoplePredictor.load(run.folder, compute=CPU)
    people = predictor.timelines(place / "v5.mp4", place / "tracks" / "v5")
    assert [each.person for each in people] == [1, 2]
    assert len(people[1].timeline) == SECONDS
    assert people[1].timeline.spans[:2].tolist() == [[0.0, 0.5], [0.5, 1.5]]
    write_people(people, tmp_path / "v5.ava.csv")
    written = {(b.start_s, b.box, b.label): b.score for b in read_ava(tmp_path / "v5.ava.csv").boxes}
    scored = [b for b in read_ava(run.folder / "detections.csv").boxes if b.video == "v5"]
    assert len(scored) == len(written) == 2 * 2 * SECONDS
    for each in scored:
        assert written[each.start_s, each.box, each.label] == pytest.approx(each.score, abs=2e-5)
    halves = predictor.timelines(
        place / "v5.mp4", place / "tracks" / "v5", settings=module_settings(stride_s=0.5)
    )
    assert len(halves[1].timeline) == 2 * SECONDS


def module_settings(**changes: Any) -> Any:
    from kinesphere.predict.people import PeopleSettings

    return PeopleSettings(**changes)


def test_the_verbs_know_the_model_by_its_file(run: module.PeopleRun, place: Path, tmp_path: Path) -> None:
    cli, model, tracks = CliRunner(), str(run.folder), str(place / "tracks")
    video = str(place / "v5.mp4")
    arguments = ["predict", video, "--model", model, "--tracks", tracks, "--device", "cpu"]
    done = cli.invoke(app, [*arguments, "--segments", str(tmp_path / "v.ava.csv"), "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout.splitlines()[0])
    assert [each["person"] for each in answer["people"]] == [1, 2]
    assert answer["people"][1]["top"][0]["label"] == "blink"
    assert len(read_ava(tmp_path / "v.ava.csv")) == SECONDS
    done = cli.invoke(app, [*arguments, "--annotate", str(tmp_path / "drawn.mp4")])
    assert done.exit_code == 0, done.output
    with Video.open(tmp_path / "drawn.mp4") as drawn:
        assert drawn.frame_count == SECONDS * FPS
    scores = ["evaluate", model, str(place / "test.csv"), "--device", "cpu", "--json"]
    done = cli.invoke(app, [*scores, "--out", str(tmp_path / "scores")])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["scores"]["map@0.5"] == pytest.approx(run.scores.scores["map@0.5"].value)
    assert (tmp_path / "scores" / "detections.csv").is_file()
    seen = cli.invoke(app, ["evaluate", model, str(place / "train.csv"), "--device", "cpu"])
    assert "4 of 4 videos were trained on, which flatters the scores" in seen.output
    for options, says in (
        (["--window", "2"], "sees the clip that it learnt from"),
        (["--page", str(tmp_path / "p.html")], "sees the clip that it learnt from"),
        (["--model", "fc_tiny"], "name it alone"),
    ):
        refused = cli.invoke(app, [*arguments, *options])
        assert isinstance(refused.exception, InvalidSetting), refused.output
        assert says in str(refused.exception)


def test_what_does_not_go_together_is_refused(run: module.PeopleRun, place: Path, tmp_path: Path) -> None:
    for key, value, says in (
        ("data__test_labels", (), "No video is in the subset 'train'; subsets of the labels: none"),
        ("data__classes", ("dance",), "Nobody does anything in the 20 keyframes to train on"),
        ("data__videos", str(place / "tracks"), "holds no video"),
        ("augment__mixup", 0.8, r"augment\.mixup: what mixes clips or moves them in time"),
        ("clip__sampling", "uniform8", "frames at an interval; the model samples uniform8"),
        ("model__name", "timesformer_tiny", "gives no feature maps over a clip of pixels"),
        ("model__pretrained", str(run.folder), "is a detector of people's actions already"),
    ):
        with pytest.raises((InvalidSetting, InvalidAnnotation), match=says):
            train_people(recipe(place, tmp_path / "other", **{key: value}), console=QUIET)
    names = "item { name: 'turn left' id: 12 }\nitem { name: 'still' id: 3 }\n"
    (tmp_path / "sides.pbtxt").write_text(names)
    sides = recipe(place, tmp_path / "other", data__label_map=str(tmp_path / "sides.pbtxt"))
    with pytest.raises(InvalidSetting, match="In a mirror image 'turn left' would be something"):
        train_people(sides, console=QUIET)
    detector = PeopleDetector.load(run.folder / "model.safetensors")
    keyframes, _ = keyframes_for(detector, run.folder, place / "test.csv", label_map=tmp_path / "sides.pbtxt")
    with pytest.raises(LabelMismatch, match="1 actions that the detector does not know: turn left"):
        evaluate_people(detector, keyframes, CPU)


def test_times_after_the_end_and_broken_videos_are_named(
    run: module.PeopleRun, place: Path, tmp_path: Path
) -> None:
    rows = (place / "test.csv").read_text().splitlines()
    late = [row.replace("v5,0004", "v5,0099") for row in rows] + [rows[0].replace("v4", "v9")]
    (tmp_path / "late.csv").write_text("\n".join([*late, rows[0].replace("v4", "bad")]) + "\n")
    for name in ("v4", "v5"):
        (tmp_path / f"{name}.mp4").write_bytes((place / f"{name}.mp4").read_bytes())
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    detector = PeopleDetector.load(run.folder / "model.safetensors")
    keyframes, skipped = keyframes_for(detector, run.folder, tmp_path / "late.csv")
    found = evaluate_people(detector, keyframes, CPU, skipped=skipped)
    reasons = {Path(each.path).name: each.reason for each in found.skipped}
    assert reasons["v9"] == "there is no video of this name"
    assert "99 s lies outside of the video, which is shown from 0.00 to 5.00 s" in reasons["v5.mp4"]
    assert "bad.mp4" in reasons
    assert found.scores.counts["frames"] == 9
    changed = recipe(place, tmp_path / "run", train__epochs=1, data__labels=str(tmp_path / "late.csv"))
    data = changed.data.model_copy(update={"videos": (str(tmp_path), str(place / "v0.mp4"))})
    data = data.model_copy(update={"test_labels": (), "test": 0.34})
    again = train_people(changed.model_copy(update={"data": data}), console=QUIET)
    assert any("there is no video of this name" in each.reason for each in again.skipped)


def test_files_of_other_kinds_are_told_apart(run: module.PeopleRun, tmp_path: Path) -> None:
    clips = save_model(create_model("fc_tiny", list("ab")), tmp_path / "clips.safetensors")
    assert people_detector_file(clips) is None
    assert people_detector_file(run.folder) == run.folder / "model.safetensors"
    with pytest.raises(InvalidCheckpoint, match="holds no detector of people's actions"):
        PeopleDetector.load(clips)
    with pytest.raises(InvalidCheckpoint, match="holds no detector of people's actions"):
        PeoplePredictor.load(tmp_path)


@given(
    st.floats(0, 9.99),
    st.sampled_from([10.0, 25.0, 30000 / 1001, 30.0, 60.0]),
    st.sampled_from(["8x4x1", "16x1x1"]),
    st.sampled_from([None, 25.0]),
)
def test_a_clip_lies_about_its_time_in_seconds(
    time_s: float, fps: float, sampling: str, rate: float | None
) -> None:
    spec = ClipSpec(Sampling.parse(sampling), (32, 32), fps=rate)
    times = clip_times_about(time_s, spec, fps, 0.0, 10.0)
    assert len(times) == spec.length
    assert (times >= 0).all()
    assert (times < 10).all()
    assert (np.diff(times) >= 0).all()
    reach_s = (spec.length - 1) / 2 * spec.sampling.interval / (rate or fps)
    if reach_s < time_s < 10 - reach_s - 1 / fps:
        assert times.mean() == pytest.approx(time_s, abs=2e-3)
        assert times[-1] - times[0] == pytest.approx(2 * reach_s)
    with pytest.raises(SpanOutsideVideo, match=r"which is shown from 0\.00 to 10\.00 s"):
        clip_times_about(10.5, spec, fps, 0.0, 10.0)


def test_a_clip_is_the_whole_frame_and_boxes_lie_in_it(tmp_path: Path) -> None:
    frame = np.zeros((60, 80, 3), np.uint8)
    frame[15:45, 20:40] = 255
    with VideoWriter(tmp_path / "v.mp4", (60, 80), 10, quality=5) as writer:
        for _ in range(20):
            writer.write(frame)
    spec = ClipSpec(Sampling("dense", 4), (40, 40), resize="letterbox", mean=(0.0,) * 3, std=(1.0,) * 3)
    with Video.open(tmp_path / "v.mp4") as video:
        clip, placement = read_about(video, spec, 1.0)
    assert clip.data.shape == (4, 3, 40, 40)
    (box,) = placement.boxes(np.array([[0.25, 0.25, 0.5, 0.75]]))
    assert box.tolist() == [10.0, 12.5, 20.0, 27.5]
    bright = clip.data[0].float().mean(0) > 128
    rows, columns = bright.any(1).nonzero()[:, 0], bright.any(0).nonzero()[:, 0]
    seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert np.abs(np.array(seen, float) - box).max() <= 1.0


@pytest.mark.parametrize("flip", [False, True])
def test_boxes_go_where_the_pixels_go(flip: bool) -> None:
    data = np.zeros((2, 60, 80, 3), np.uint8)
    data[:, 15:45, 20:40] = 255
    clip = Clip(torch.from_numpy(data).permute(0, 3, 1, 2), np.arange(2.0), (60, 80))
    spec = ClipSpec(Sampling("dense", 2), (60, 80))
    drawn = AugmentParameters(Geometry((60, 80), Box(10, 10, 40, 50), flip))
    changed = MODALITIES.get("rgb").augment(clip, drawn, spec)
    (box,) = boxes_after(np.array([[20.0, 15, 40, 45]]), drawn, spec.size)
    bright = changed.data[0].float().mean(0) > 128
    rows, columns = bright.any(1).nonzero()[:, 0], bright.any(0).nonzero()[:, 0]
    seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert np.abs(np.array(seen, float) - box).max() <= 1.0
    before = np.array([[0.0, 0, 12, 60], [20, 15, 40, 45]])
    after = boxes_after(before, drawn, spec.size)
    assert still_seen(before, after, 60 * 80 / (40 * 50)).tolist() == [False, True]


def test_short_paths_are_looked_at_in_their_middle() -> None:
    assert times_of(0.0, 3.0, 1.0) == [0.0, 1.0, 2.0]
    assert times_of(0.2, 0.8, 1.0) == [0.5]
    assert times_of(1.5, 2.6, 0.5) == [1.5, 2.0, 2.5]


def test_numbers_of_two_kinds_of_files_stay_apart() -> None:
    assert together({"a": 1, "c": 2}, {"b": 1, "c": 7, "d": 5}) == {"a": 1, "c": 2, "b": 3, "d": 5}
