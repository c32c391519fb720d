from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner, Result

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.annotations.timed_files import read_timed
from kinesphere.apps.cli.main import app
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.localise.methods.registry import load_detector
from kinesphere.localise.methods.ssn import SegmentDetector
from kinesphere.localise.prediction import LocalisingPredictor
from kinesphere.localise.run import train_localiser
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.models import create_model, save_model
from kinesphere.predict import SegmentRule, load, read_timeline, segments, write_timeline
from kinesphere.predict.features import SUFFIX
from kinesphere.video import VideoWriter

pytestmark = pytest.mark.slow
FPS, LENGTH_S, COLOURS = 8, 12, {"hop": (0, 220, 0), "skip": (220, 0, 0)}


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five grey videos in which an action is a colour, and a trained run."""
    folder = tmp_path_factory.mktemp("filmed")
    labels, subsets = [], {}
    rng = np.random.default_rng(0)
    for number in range(5):
        frames = np.full((FPS * LENGTH_S, 16, 16, 3), 90, np.uint8)
        for first, kind in ((1 + rng.random(), "hop"), (6 + rng.random(), "skip")):
            end = first + 2 + rng.random()
            frames[round(first * FPS) : round(end * FPS)] = COLOURS[kind]
            labels.append(TimedLabel(f"v{number}", kind, round(first * FPS) / FPS, round(end * FPS) / FPS))
        with VideoWriter(folder / f"v{number}.mp4", (16, 16), FPS) as writer:
            for frame in frames:
                writer.write(frame)
        subsets[f"v{number}"] = "training" if number < 3 else "testing"
    durations = dict.fromkeys(subsets, float(LENGTH_S))
    write_activitynet(TimedLabels(tuple(labels), tuple(subsets), durations, subsets), folder / "labels.json")
    torch.manual_seed(0)
    recogniser = save_model(create_model("fc_tiny", ["a", "b"]), folder / "fc.safetensors")
    settings = {
        "data": {"videos": [str(folder)], "labels": [str(folder / "labels.json")]},
        "features": {"model": str(recogniser), "stride_s": 0.25, "window_s": 0.5},
        "model": {"width": 16, "levels": 4},
        "train": {"epochs": 60, "batch_size": 1, "ema": None},
        "optimizer": {"lr": 0.01},
        "schedule": {"warmup_epochs": 0},
        "out": str(folder / "run"),
    }
    train_localiser(LocaliseRecipe.model_validate(settings), console=Console(file=io.StringIO()))
    return folder


def kinesphere(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_detector_is_evaluated_by_the_verb_for_recognisers(filmed, tmp_path):
    words = ("evaluate", filmed / "run", filmed / "labels.json", "--split", "testing", "--json")
    done = kinesphere(*words, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    report, own = json.loads(done.stdout), json.loads((filmed / "run" / "report.json").read_text())
    assert report["scores"] == pytest.approx(own["scores"])
    assert report["scores"]["map@0.5"] > 0.5
    assert json.loads((tmp_path / "out" / "report.json").read_text())["scores"] == report["scores"]
    assert "Timelines" in (tmp_path / "out" / "report.html").read_text()
    assert not list(filmed.glob(f"*{SUFFIX}"))
    everything = kinesphere("evaluate", filmed / "run", filmed, "--protocol", "activitynet")
    assert everything.exit_code == 0, everything.output
    assert "3 of 5 videos were trained on" in everything.output
    for option in (("--views", "3x1"), ("--background", "grey")):
        wrong = kinesphere("evaluate", filmed / "run", filmed / "labels.json", *option).exception
        assert "a detector of actions sees the whole recording" in str(wrong)
    wrong = kinesphere("evaluate", filmed / "run", filmed / "labels.json", "--split", "holidays").exception
    assert "No video is in the subset 'holidays'; subsets of the labels: testing, training" in str(wrong)
    wrong = kinesphere(
        "evaluate", filmed / "fc.safetensors", filmed / "labels.json", "--protocol", "thumos14"
    )
    assert "--protocol belongs to detectors of actions" in str(wrong.exception)


def test_scores_of_a_video_classifier_are_told_beside_those_without(filmed, tmp_path):
    (tmp_path / "classified.csv").write_text("video,label,score\nv3,hop,0.9\nv4,hop,0.8\nv4,skip,0.1\n")
    words = (
        "evaluate",
        filmed / "run",
        filmed / "labels.json",
        "--split",
        "testing",
        "--out",
        tmp_path / "out",
    )
    done = kinesphere(*words, "--classifier", tmp_path / "classified.csv", "--json")
    assert done.exit_code == 0, done.output
    report, own = json.loads(done.stdout), json.loads((filmed / "run" / "report.json").read_text())
    assert report["external"]["without"]["scores"] == pytest.approx(own["scores"])
    assert report["scores"]["map"] < own["scores"]["map"]  # the skip of v3 is lost
    found = json.loads((tmp_path / "out" / "detections.json").read_text())["results"]
    assert {each["label"] for each in found["v3"]} == {"hop"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "an external video classifier, classified.csv, which kept those of its labels" in page
    wrong = kinesphere(
        "evaluate", filmed / "fc.safetensors", filmed, "--classifier", tmp_path / "classified.csv"
    )
    assert "--classifier belongs to detectors of actions" in str(wrong.exception)


def test_proposals_are_written_with_what_became_of_them(filmed, tmp_path):
    words = ("evaluate", filmed / "run", filmed / "labels.json", "--proposals", tmp_path / "p.csv")
    assert "temporalmaxer proposes nothing that it could drop" in str(kinesphere(*words).exception)
    settings = LocaliseRecipe.load(filmed / "run").to_dict() | {"out": str(tmp_path / "ssn")}
    settings["model"] |= {"name": "ssn", "arguments": {}}
    settings["train"] |= {"epochs": 1}
    train_localiser(LocaliseRecipe.model_validate(settings), console=Console(file=io.StringIO()))
    words = ("evaluate", tmp_path / "ssn", filmed / "labels.json", "--split", "testing")
    done = kinesphere(*words, "--proposals", tmp_path / "p.csv")
    assert done.exit_code == 0, done.output
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["video"] for row in rows} <= {"v3", "v4"}
    assert all(row["fate"] and row["reason"] and row["role"] for row in rows)
    assert f"{sum(row['fate'] == 'detected' for row in rows)} detected" in done.output
    assert "p.txt" in str(kinesphere(*words, "--proposals", tmp_path / "p.txt").exception)
    model = tmp_path / "ssn" / "model.safetensors"
    detector = load_detector(model)
    assert isinstance(detector, SegmentDetector)
    with torch.no_grad():
        detector.net.completeness.bias += 4.0  # scores of the paper far above 1
    detector.save(model)
    words = ("predict", filmed / "v4.mp4", "--model", tmp_path / "ssn", "--threshold", 0.5)
    found = json.loads(kinesphere(*words, "--json").stdout)["detections"]
    sure = [each["score"] for each in found if each["score"] >= 0.5]
    assert 0.9 < max(sure) < 1
    percents = [float(each) for each in re.findall(r"([\d.]+) ?%", kinesphere(*words).stdout)]
    assert len(percents) >= len(sure)
    assert max(percents) <= 100


def test_proposals_are_scored_by_average_recall_in_the_run_and_by_the_verb(filmed, tmp_path):
    recipe = LocaliseRecipe.load(filmed / "run")
    changes = {
        "out": str(tmp_path / "run"),
        "model": recipe.model.model_copy(
            update={"name": "bsn", "levels": 1, "arguments": {"length": 24}},
        ),
        "train": recipe.train.model_copy(update={"epochs": 15}),
    }
    train_localiser(recipe.model_copy(update=changes), console=Console(file=io.StringIO()))
    own = json.loads((tmp_path / "run" / "report.json").read_text())
    assert own["proposals"]["scores"]["ar@5"] > 0.3
    assert own["proposals"]["counts"]["videos"] == 2
    done = kinesphere("evaluate", tmp_path / "run", filmed / "labels.json", "--split", "testing", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["proposals"]["scores"]
    assert found == pytest.approx(own["proposals"]["scores"])
    assert "proposals" not in json.loads((filmed / "run" / "report.json").read_text())


def test_segments_of_a_detector_are_written_as_everything(filmed, tmp_path):
    video, model = filmed / "v4.mp4", ("--model", filmed / "run")
    out = tmp_path / "answers.jsonl"
    done = kinesphere("predict", video, *model, "--threshold", 0.3, "--out", out, "--json", "--keep")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert json.loads(out.read_text()) == record
    (filmed / f"v4.mp4{SUFFIX}").unlink()  # what --keep kept
    found = [each for each in record["detections"] if each["score"] >= 0.3]
    assert [each["label"] for each in sorted(found, key=lambda each: each["start_s"])] == ["hop", "skip"]
    best = max(found, key=lambda each: each["score"])
    for name in (
        "s.csv",
        "s.json",
        "s.parquet",
        "s.eaf",
        "s.vtt",
        "s.xml",
        "s.via.json",
        "s.label_studio.json",
    ):
        done = kinesphere("predict", video, *model, "--threshold", 0.3, "--segments", tmp_path / name)
        assert done.exit_code == 0, (name, done.output)
        again = read_timed(tmp_path / name, Recordings(filmed))
        spans = {each.label: (each.start_s, each.end_s) for each in again.labels}
        assert spans[best["label"]] == pytest.approx((best["start_s"], best["end_s"]), abs=0.07), name
    write_timeline(LocalisingPredictor.load(filmed / "run").timeline(video), tmp_path / "whole.parquet")
    whole = read_timeline(tmp_path / "whole.parquet")
    assert [each.label for each in segments(whole, SegmentRule(threshold=0.3))] == ["hop", "skip"]
    assert [each.label for each in segments(whole[:20], SegmentRule(threshold=0.3))] == ["hop"]
    with pytest.raises(InvalidSetting, match="boundaries of their own and are no windows to be decoded"):
        segments(whole, SegmentRule(smooth=3))
    page, picture = tmp_path / "page.html", tmp_path / "picture.svg"
    truth = ("--truth", filmed / "labels.json")
    done = kinesphere(
        "predict", video, *model, "--threshold", 0.3, "--page", page, "--picture", picture, *truth,
        "--annotate", tmp_path / "copy.mp4",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert page.read_text().count('aria-label="hop,') == 2
    assert picture.stat().st_size > 1000
    assert (tmp_path / "copy.mp4").stat().st_size > 1000


def test_what_a_detector_cannot_do_is_said(filmed, tmp_path):
    run, video = filmed / "run", filmed / "v4.mp4"
    with pytest.raises(InvalidCheckpoint, match="finds when actions happen in long recordings, and no"):
        load(run)
    wrong = kinesphere("predict", video, "--model", run, "--window", 2).exception
    assert "--window: a detector of actions sees the whole recording" in str(wrong)
    wrong = kinesphere("predict", video, "--model", run, "--model", filmed / "fc.safetensors").exception
    assert "do not stand beside those of other models; name it alone" in str(wrong)
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((run / "model.safetensors").read_bytes())
    done = kinesphere("predict", video, "--model", alone)
    assert done.exit_code == 1
    assert "has no recogniser.safetensors that would make one" in " ".join(done.output.split())
    done = kinesphere("predict", "rtsp://camera/1", "--model", run)
    assert "is a stream; features are made of files" in " ".join(done.output.split())
