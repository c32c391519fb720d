from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.apps.cli.main import app
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting, UnknownName
from kinesphere.localise.end_to_end import ClipSegments, ClipSegmentTask, StepClips
from kinesphere.localise.methods.registry import load_detector
from kinesphere.localise.prediction import SEEN_BY, LocalisingPredictor
from kinesphere.localise.run import train_localiser
from kinesphere.localise.settings import BackboneSection, LocaliseRecipe, TrainDetectorSection
from kinesphere.localise.snippets import Draws
from kinesphere.localise.structured import COUNTS, pools_of, segment_loss
from kinesphere.models import create_model, load_model, save_model
from kinesphere.models.temporal.ssn import SSN
from kinesphere.predict.features import SUFFIX, FeatureExtractor, FeatureGrid, read_features
from kinesphere.video import VideoWriter

QUIET = Console(file=io.StringIO())
FP32 = Compute("cpu", "fp32", True)
FPS, LENGTH_S, COLOURS = 8, 10, {"hop": (0, 220, 0), "skip": (220, 0, 0)}


def film(path: Path, colours: np.ndarray, size: int = 16) -> Path:
    """A video of noise around a colour for each frame."""
    rng = np.random.default_rng(0)
    with VideoWriter(path, (size, size), FPS) as writer:
        for colour in colours:
            noise = rng.integers(-20, 20, (size, size, 3))
            writer.write((colour + noise).clip(0, 255).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four grey videos in which an action is a colour, and a recogniser that has learnt nothing."""
    folder = tmp_path_factory.mktemp("filmed")
    labels, subsets = [], {}
    for number in range(4):
        colours = np.full((FPS * LENGTH_S, 3), 90)
        for first_s, kind in ((1 + number / 8, "hop"), (5.5 + number / 8, "skip")):
            colours[round(first_s * FPS) : round((first_s + 2) * FPS)] = COLOURS[kind]
            labels.append(TimedLabel(f"v{number}", kind, first_s, first_s + 2))
        film(folder / f"v{number}.mp4", colours)
        subsets[f"v{number}"] = "training" if number < 2 else "testing"
    durations = dict.fromkeys(subsets, float(LENGTH_S))
    write_activitynet(TimedLabels(tuple(labels), tuple(subsets), durations, subsets), folder / "labels.json")
    torch.manual_seed(0)
    save_model(create_model("fc_tiny", ["a", "b"]), folder / "fc.safetensors")
    return folder


def recipe(filmed: Path, out: Path, **changes: dict[str, Any]) -> LocaliseRecipe:
    settings: dict[str, dict[str, Any]] = {
        "data": {"videos": [str(filmed)], "labels": [str(filmed / "labels.json")]},
        "features": {"model": str(filmed / "fc.safetensors"), "stride_s": 0.5, "window_s": 0.5},
        "backbone": {"train": True},
        "model": {"name": "ssn", "arguments": {"dropout": 0.0}},
        "train": {"epochs": 2, "batch_size": 10},
        "optimizer": {"lr": 0.01},
        "schedule": {"warmup_epochs": 0},
        "compute": {"workers": 0},
    }
    merged = {key: {**settings.get(key, {}), **changes.get(key, {})} for key in {*settings, *changes}}
    return LocaliseRecipe.model_validate({**merged, "out": str(out)})


def draws(rows: int, net: SSN) -> Draws:
    """Of one video with two actions."""
    proposals = np.array([[1.0, 4.0], [2.0, 2.5], [4.0, 4.5], [rows - 3.0, rows]])
    pools = pools_of(proposals, np.array([[1.0, 4.0], [4.0, 6.0]]), np.array([0, 1]), rows)
    settings = TrainDetectorSection(batch_size=1)
    return Draws([pools], [rows], torch.tensor([[0.0, 0.0], [1.0, 1.0]]), net.snippets, settings)


@pytest.mark.parametrize("model", ["tsn_tiny", "tsn_flow_tiny"], ids=["rgb", "flow"])
def test_snippets_seen_anew_are_the_rows_of_features_and_teach_all_of_the_backbone(model, tmp_path):
    colours = np.random.default_rng(1).integers(40, 200, (40, 3))
    video = film(tmp_path / "v.mp4", colours, 72)
    torch.manual_seed(0)
    saved = save_model(create_model(model, ["a", "b", "c"]), tmp_path / "model.safetensors")
    extractor = FeatureExtractor(str(saved), FeatureGrid(0.4, 1.4), FP32)
    extractor.extract(video, tmp_path / f"v{SUFFIX}")
    cached = torch.from_numpy(read_features(tmp_path / f"v{SUFFIX}").values.copy())
    net = SSN(cached.shape[1], 2, dropout=0.0)
    shown = next(draws(len(cached), net).of(0))
    (step,) = StepClips([shown], [video], extractor)
    moments = cached.mean(0), cached.std(0) + 0.1
    through = ClipSegments(load_model(saved), BackboneSection(train=True), net, *moments, FP32).train()
    each, which = shown.each_once()
    assert len(each) < shown.rows.numel()  # a snippet of several proposals is seen once
    torch.testing.assert_close(each[which][..., 1], shown.rows)
    torch.testing.assert_close(through.rows(step.inputs), cached[each[:, 1]], rtol=1e-5, atol=1e-5)
    found = through(step.inputs, step.which, step.scale)
    wanted = net((cached[shown.rows] - moments[0]) / moments[1], shown.scale)
    for name in ("activity", "completeness", "regression"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=1e-5, atol=1e-5)
    segment_loss(found, step.labels, step.targets, COUNTS).total.backward()
    learning = [(n, p.grad) for n, p in through.backbone.named_parameters() if p.requires_grad]
    assert len(learning) == len(list(load_model(saved).net.parameters())) - 2  # all but the head
    assert not [name for name, grad in learning if grad is None or not grad.any()]


def test_the_backbone_has_a_rate_of_its_own_and_what_is_frozen_keeps_its_weights(filmed, tmp_path):
    recogniser = load_model(filmed / "fc.safetensors")
    net = SSN(recogniser.net.fc.in_features, 2)
    moments = torch.zeros(net.activity.in_features), torch.ones(net.activity.in_features)
    for freeze, count in ((None, 8), ("hidden1", 4), ("all", 0)):
        made = recipe(filmed, tmp_path, backbone={"freeze": freeze, "lr": 0.2}, train={"ema": None})
        start = load_model(filmed / "fc.safetensors")
        through = ClipSegments(start, made.backbone, net, *moments, FP32)
        task = ClipSegmentTask(through, draws(20, net), [], FeatureExtractor("-"), made)
        heads, backbone = task.learning()
        assert heads[1] == 1.0
        assert (len(backbone[0]), backbone[1]) == (count, 0.2)
        rates = {group["lr"] for group in task.configure_optimizers()["optimizer"].param_groups}
        assert len(rates) == (2 if count else 1)
    assert not any(module.training for module in through.train().backbone.modules())


@pytest.mark.slow
def test_a_run_keeps_the_recogniser_that_learnt_and_goes_on_to_the_same_one(filmed, tmp_path, monkeypatch):
    whole = train_localiser(recipe(filmed, tmp_path / "whole"), console=QUIET)
    from kinesphere.localise import run as module

    def stop(*_: Any) -> None:
        raise RuntimeError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(module.ShowEpochs, "on_train_epoch_end", stop)
        with pytest.raises(RuntimeError, match="stopped"):
            train_localiser(recipe(filmed, tmp_path / "parts"), console=QUIET)
    with pytest.raises(InvalidSetting, match="begun with other settings of backbone"):
        train_localiser(recipe(filmed, tmp_path / "parts", backbone={"lr": 0.5}), resume=True, console=QUIET)
    again = train_localiser(recipe(filmed, tmp_path / "parts"), resume=True, console=QUIET)
    for name in (SEEN_BY, "model.safetensors"):
        one, other = ((each.folder / name).read_bytes() for each in (whole, again))
        assert one == other
    # What learnt is another recogniser than the one at first, and its features are what the detector sees.
    start, learnt = (load_model(path) for path in (filmed / "fc.safetensors", whole.folder / SEEN_BY))
    assert not torch.equal(start.net.hidden1[0].weight, learnt.net.hidden1[0].weight)
    assert torch.equal(start.net.hidden1[1].running_mean, learnt.net.hidden1[1].running_mean)
    assert torch.equal(start.net.fc.weight, learnt.net.fc.weight)
    detector = load_detector(whole.folder / "model.safetensors")
    own, first = (
        read_features(next((whole.folder / each).glob(f"v2*{SUFFIX}")))
        for each in ("features", "at_first/features")
    )
    assert detector.sight.origin == own.origin != first.origin
    # What predicts from the video sees the same.
    found = LocalisingPredictor.load(whole.folder, compute=FP32).timeline(filmed / "v2.mp4").found
    report = json.loads((whole.folder / "detections.json").read_text())["results"]["v2"]
    assert [each.score for each in found or ()] == pytest.approx([each["score"] for each in report], abs=1e-4)
    # A finished run is scored again, without being trained.
    scores = train_localiser(recipe(filmed, tmp_path / "whole"), resume=True, console=QUIET).scores
    assert scores.scores["map"].value == whole.scores.scores["map"].value


@pytest.mark.slow
def test_workers_that_are_spawned_give_the_same_detector(filmed, tmp_path, monkeypatch):
    monkeypatch.setattr("kinesphere.data.loader.start_method", lambda: "spawn")
    settings = {"train": {"epochs": 1}}
    here, there = (
        train_localiser(
            recipe(filmed, tmp_path / str(count), **settings, compute={"workers": count}), console=QUIET
        )
        for count in (0, 1)
    )
    for name in (SEEN_BY, "model.safetensors"):
        assert (here.folder / name).read_bytes() == (there.folder / name).read_bytes()


def test_clips_of_features_follow_the_recipe(filmed, tmp_path):
    saved = save_model(create_model("tsn_tiny", ["a", "b"]), tmp_path / "tsn.safetensors")
    made = recipe(
        filmed, tmp_path / "run", features={"model": str(saved)}, clip={"sampling": "uniform1", "size": 32},
        backbone={"train": False}, train={"epochs": 1},
    )  # fmt: skip
    run = train_localiser(made, console=QUIET)
    (spec,) = load_model(run.folder / SEEN_BY).specs
    assert (str(spec.sampling), spec.size) == ("uniform1", (32, 32))


def test_what_cannot_learn_through_a_recogniser_is_told(filmed, tmp_path):
    for changes, says in (
        ({"model": {"name": "tridet", "arguments": {}}}, r"tridet learns from features alone; .*: ssn\."),
        ({"features": {"model": None}}, "needs the recogniser that is to learn; name it by features.model"),
        ({"features": {"mode": "streaming"}}, "reads snippets as single windows; set features.mode=windows"),
        ({"backbone": {"train": False, "lr": 0.5}}, "mean something with backbone.train=true"),
        (
            {"features": {"model": None}, "backbone": {"train": False}, "clip": {"size": 8}},
            "clip changes what the recogniser of features.model sees; name one",
        ),
        ({"backbone": {"freeze": "layer9"}}, "layer9"),
    ):
        with pytest.raises((InvalidSetting, UnknownName), match=says):
            train_localiser(recipe(filmed, tmp_path / "run", **changes), console=QUIET)


@pytest.mark.slow
def test_a_detector_learns_from_pixels_by_the_command_line(filmed, tmp_path):
    lines = [
        "task: localise",
        f"data: {{videos: {filmed}, labels: {filmed / 'labels.json'}}}",
        f"features: {{model: {filmed / 'fc.safetensors'}, stride_s: 0.25, window_s: 0.5}}",
        "backbone: {train: true, lr: 0.3}",
        "model: {name: ssn}",
        "train: {epochs: 8}",
        f"out: {tmp_path / 'run'}",
    ]
    (tmp_path / "recipe.yaml").write_text("\n".join(lines))

    def kinesphere(*words: object) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.stdout

    kinesphere("train", tmp_path / "recipe.yaml", "optimizer.lr=0.003")
    run = tmp_path / "run"
    report = json.loads(kinesphere("evaluate", run, filmed / "labels.json", "--split", "testing", "--json"))
    assert report["scores"]["map@0.5"] > 0.5
    assert report["scores"] == pytest.approx(json.loads((run / "report.json").read_text())["scores"])
    # Two runs as one: of the same run twice, what it says itself, but for proposals that are nearly equal.
    both = tmp_path / "both"
    kinesphere("train", tmp_path / "recipe.yaml", f"out={tmp_path / 'other'}", "train.seed=1")
    kinesphere("fuse", run, tmp_path / "other", "--weights", "2,1", "--out", both)
    fused = json.loads(kinesphere("evaluate", both, filmed / "labels.json", "--split", "testing", "--json"))
    assert fused["scores"]["map@0.5"] > 0.5
    whole = json.loads(kinesphere("evaluate", both, filmed / "labels.json", "--json"))
    assert whole["videos_trained_on"] == ["v0", "v1"]
    assert json.loads(kinesphere("predict", filmed / "v3.mp4", "--model", both, "--json"))["detections"]
