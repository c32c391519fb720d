"""Joint training: one network on several data sets, a head for each."""

from __future__ import annotations

import csv
import json
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kinesphere.core.errors import InvalidSetting, MissingWeights
from kinesphere.data.sampler import EpochSampler, SetShares
from kinesphere.evaluate import Report
from kinesphere.evaluate.predictions import Predictions
from kinesphere.models import create_model, load_model
from kinesphere.models.head import HeadForm
from kinesphere.train import Recipe, train
from kinesphere.train.cross_validation import cross_validate
from kinesphere.train.losses import LossContext, make_loss
from kinesphere.train.resolve import read_samples, resolve
from kinesphere.train.run import Run
from kinesphere.train.run_folder import RunFiles
from kinesphere.train.running_metrics import RunningMetrics
from kinesphere.train.set_heads import JointLoss, SetHead, heads_of, shares_of
from kinesphere.train.trainer import loss_of


def write_sets(videos: Path, folder: Path) -> dict[str, Path]:
    """Two sets of the tiny videos: levels of brightness, and a second one with labels of its own."""
    rows = {
        "level": [(f"{label}/{i}.mp4", label) for label in ("bright", "dark") for i in range(8)],
        "half": [(f"striped/{i}.mp4", "early" if i < 4 else "bright") for i in range(8)],
    }
    paths = {}
    for name, listed in rows.items():
        paths[name] = folder / f"{name}.csv"
        with paths[name].open("w", newline="") as file:
            csv.writer(file).writerows(
                [("path", "label"), *((str(videos / path), label) for path, label in listed)]
            )
    return paths


def jointly(recipe: Recipe, sets: dict[str, Path], *overrides: str) -> Recipe:
    named = {name: {"source": str(path)} for name, path in sets.items()}
    return Recipe.build({**recipe.to_dict(), "joint": {"sets": named}}).override(*overrides)


@pytest.fixture(scope="module")
def sets(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_sets(videos, tmp_path_factory.mktemp("sets"))


@pytest.fixture
def joint(recipe: Recipe, sets: dict[str, Path]) -> Recipe:
    return jointly(recipe, sets, "loss.name=cross_entropy")


def test_each_head_learns_from_its_own_set_alone(joint: Recipe) -> None:
    samples = read_samples(joint)
    assert samples.labels.names == ("level/bright", "level/dark", "half/bright", "half/early")
    first, second = heads_of(joint, samples.labels)
    assert (first.labels.names, second.labels.names) == (("bright", "dark"), ("bright", "early"))
    torch.manual_seed(0)
    head = torch.nn.Linear(3, 4)
    targets = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0]])
    logits = head(torch.randn(2, 3))
    loss = loss_of(joint, samples)
    loss(logits, targets).backward()
    assert head.weight.grad is not None
    assert (head.weight.grad[second.rows] == 0).all()
    assert head.weight.grad[first.rows].abs().min() > 0
    alone = make_loss("cross_entropy", LossContext(torch.tensor([8, 8])))
    mixed = torch.cat([targets, torch.tensor([[0.0, 0, 0, 1]])])
    logits = torch.randn(3, 4)
    expected = (2 * alone(logits[:2, :2], targets[:, :2]) + alone(logits[2:, 2:], mixed[2:, 2:])) / 3
    torch.testing.assert_close(loss(logits, mixed), expected)


def test_a_loss_that_changes_in_training_changes_in_every_head() -> None:
    context = LossContext(torch.tensor([9, 1]), defer=0.5, beta=0.9)
    labels = create_model("fc_tiny", ("a", "b")).labels
    heads = (SetHead("x", labels, 0), SetHead("y", labels, 2))
    loss = JointLoss(heads, (make_loss("class_balanced", context),) * 2)
    logits, rows = torch.randn(2, 4), torch.eye(4)[[1, 2]]
    assert loss.at(0.1)(logits, rows) != loss.at(0.9)(logits, rows)


@pytest.mark.parametrize(("alternating", "epochs"), [(False, 3), (True, 30)])
def test_shares_of_draws_hold(alternating: bool, epochs: int) -> None:
    of = [0] * 30 + [1] * 130 + [2] * 40
    weights = (3.0, 1.0, 1.0)
    sampler = EpochSampler([(0,)] * 200, 8, shuffle=True, seed=3, shares=SetShares(of, weights, alternating))
    counts, batches = Counter[int](), []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        drawn = [of[draw.index] for draw in sampler]
        assert len(drawn) == 200
        counts.update(drawn)
        batches += [drawn[begin : begin + 8] for begin in range(0, 200, 8)]
        if epoch == 0:
            again = EpochSampler([(0,)] * 200, 8, shuffle=True, seed=3, shares=sampler.shares)
            again.resume_at(0, 5)
            assert [of[draw.index] for draw in again] == drawn[40:]
    shares = [counts[number] / sum(counts.values()) for number in range(3)]
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.02)
    assert all(len(set(batch)) == 1 for batch in batches) is alternating


def test_shares_within_sets_balance_classes_and_take_turns() -> None:
    targets = [(0,)] * 30 + [(1,)] * 10 + [(2,)] * 20
    shares = SetShares([0] * 40 + [1] * 20, (1.0, 1.0))
    drawn = [
        targets[draw.index][0]
        for draw in EpochSampler(targets, 4, shuffle=True, balance="equal", shares=shares)
    ]
    assert Counter(drawn) == {0: 15, 1: 15, 2: 30}
    with pytest.raises(InvalidSetting, match="weights above 0"):
        EpochSampler(targets, 4, shuffle=True, shares=SetShares([0] * 60, (1.0, 1.0)))
    with pytest.raises(InvalidSetting, match="drawn at random"):
        EpochSampler(targets, 4, shuffle=False, shares=shares)


def test_without_weights_each_sample_is_drawn_once(joint: Recipe) -> None:
    samples = read_samples(joint)
    shares = shares_of(joint, samples.samples)
    assert shares is not None
    assert shares.weights == (16.0, 8.0)
    drawn = [draw.index for draw in EpochSampler(samples.targets, 4, shuffle=True, shares=shares)]
    assert sorted(drawn) == list(range(24))


def test_metrics_are_of_each_set_and_their_mean(joint: Recipe) -> None:
    heads = heads_of(joint, read_samples(joint).labels)
    metrics = RunningMetrics(4, False, heads)
    logits = torch.tensor([[2.0, 0, 9, 0], [2, 0, 0, 9], [0, 0, 0, 5]])
    metrics.update(logits, torch.eye(4)[[0, 1, 3]], torch.tensor(0.5))
    scores = metrics.compute()
    assert scores is not None
    assert (scores["level/top1"], scores["half/top1"], scores["top1"]) == (0.5, 1.0, 0.75)
    one = RunningMetrics(4, False, heads)
    one.update(logits[:2], torch.eye(4)[[0, 1]], torch.tensor(0.5))
    alone = one.compute()
    assert alone is not None
    assert alone["top1"] == 0.5
    assert "half/top1" not in alone


@pytest.fixture(scope="module")
def finished(videos: Path, sets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = {
        "data": {"source": [], "val": 0.25, "test": 0.25},
        "joint": {"sets": {name: {"source": str(path)} for name, path in sets.items()}},
        "model": {"name": "fc_tiny"},
        "augment": {"preset": "light"},
        "train": {"epochs": 3, "batch_size": 4, "checkpoint_minutes": None},
        "compute": {"device": "cpu", "precision": "fp32", "workers": 0},
        "log": {"tensorboard": False},
        "out": str(tmp_path_factory.mktemp("runs") / "joint"),
    }
    return train(Recipe.build(settings))


def test_a_run_leaves_a_model_and_a_report_for_each_set(finished: Run) -> None:
    files = finished.files
    assert not files.model.is_file()
    together = load_model(files.joint)
    weights = load_file(files.joint)
    start = 0
    for name, classes in (("level", ("bright", "dark")), ("half", ("bright", "early"))):
        own = files.of_set(name)
        model = load_model(own.folder)
        assert model.labels.names == classes
        assert set(model.provenance.class_counts or ()) == set(classes)
        assert "val_top1" in model.provenance.scores
        (path,) = model.card.head
        for key, value in load_file(own.model).items():
            expected = weights[key]
            if key.startswith(f"{path}."):
                expected = expected[start : start + 2]
            assert torch.equal(value, expected)
        start += 2
        report = Report.read(own.report)
        assert (report.labels.names, report.protocol.dataset) == (classes, name)
        assert any("Trained together with" in note for note in report.notes)
    clip = torch.rand(2, together.specs[0].length, 3, *together.specs[0].size)
    with torch.no_grad():
        torch.testing.assert_close(load_model(files.of_set("half").model)(clip), together(clip)[:, 2:])
    with pytest.raises(MissingWeights, match=r"several data sets at once.*sets/half, .*sets/level"):
        load_model(files.folder)


def test_the_report_of_all_sets_is_over_their_clips(finished: Run) -> None:
    report = finished.report
    assert report is not None
    own = [Report.read(finished.files.of_set(name).report) for name in ("level", "half")]
    right = sum(each.scores["top1"].value * each.clips for each in own)
    assert report.clips == sum(each.clips for each in own)
    assert report.scores["top1"].value == pytest.approx(right / report.clips)
    assert report.protocol.dataset == "level + half"
    assert any(note.startswith("half: ") and "sets/half" in note for note in report.notes)
    table = Predictions.read(finished.files.predictions)
    assert table.labels.names[2:] == ("half/bright", "half/early")
    with finished.files.metrics.open() as file:
        assert "val_half/top1" in next(csv.DictReader(file))


def test_sets_are_divided_as_alone(joint: Recipe, sets: dict[str, Path]) -> None:
    resolved, parts = resolve(joint, read_samples(joint))
    assert resolved.data.source == tuple(map(str, sets.values()))
    assert resolved.joint.sets["half"].val == 0.25
    alone = joint.override("joint.sets={}", f"data.source={sets['half']}")
    _, own = resolve(alone, read_samples(alone))
    half = heads_of(resolved, parts.train.labels)[1]
    assert parts.test is not None
    assert own.test is not None
    assert half.own(parts.test).samples == own.test.samples
    again = Recipe.build(json.loads(json.dumps(resolved.to_dict())))
    assert again == resolved


def test_clips_of_one_set_that_test_another_are_told(
    recipe: Recipe, sets: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    twice = jointly(recipe, {"level": sets["level"], "again": sets["level"]}, "train.seed=1")
    with caplog.at_level(logging.WARNING):
        _, parts = resolve(replace_set(twice, "again", val=0, test=0), read_samples(twice))
    assert parts.test is not None
    sentence = (
        f"{len(parts.test)} of {len(parts.test)} test clips are of files from which the network learns in"
    )
    assert any(sentence in note for note in parts.notes)
    assert sentence in caplog.text


def replace_set(recipe: Recipe, name: str, **changes: object) -> Recipe:
    sections = dict(recipe.joint.sets)
    sections[name] = sections[name].model_copy(update=changes)
    return recipe.model_copy(update={"joint": recipe.joint.model_copy(update={"sets": sections})})


@pytest.mark.slow
def test_resumed_runs_are_those_that_were_not_stopped(
    recipe: Recipe, sets: dict[str, Path], tmp_path: Path
) -> None:
    whole = jointly(
        recipe, sets, "joint.batches=alternating", "schedule.name=constant", "train.epochs=2", "data.test=0"
    )
    train(whole)
    stopped = whole.override(f"out={tmp_path / 'stopped'}", "train.epochs=1")
    train(stopped)
    resumed = train(stopped.override("train.epochs=2"), resume=True)
    ended = [RunFiles(Path(str(folder))) for folder in (whole.out, resumed.folder)]
    unbroken, continued = (load_file(files.last) for files in ended)
    assert all(torch.equal(value, continued[name]) for name, value in unbroken.items())
    for name in sets:
        unbroken, continued = (load_file(files.of_set(name).model) for files in ended)
        assert all(torch.equal(value, continued[key]) for key, value in unbroken.items())


def test_probes_learn_jointly(recipe: Recipe, sets: dict[str, Path]) -> None:
    probing = jointly(
        recipe,
        sets,
        "model.name=kine_tiny",
        "model.freeze=layer4",
        "augment.preset=none",
        "probe.lr=[0.03, 0.01]",
    )
    run = train(probing)
    assert load_model(run.files.of_set("half").folder).labels.names == ("bright", "early")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("augment.mixup=0.2",), r"mix clips of different data sets"),
        (("rebalance.method=tau_normalised",), r"rebalance changes the head of one data set"),
        (("pretrain.method=contrastive",), r"pretrain\.method\) are of one data set"),
        (("probe.kind=knn",), "Attentive and k-NN probes are of one data set"),
        (("joint.sets.level.weight=1",), "give weight for all sets or for none"),
        (
            ("joint.sets.half.sorce=x",),
            r"no setting 'joint\.sets\.half\.sorce' \(did you mean joint\.sets\.half\.source",
        ),
        (("probe.lr=[1, 2]", "model.freeze=all", "joint.sets.half.val=0"), "'half' holds none out"),
    ],
)
def test_what_sets_do_not_do_is_refused(joint: Recipe, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        resolve(changed := joint.override(*overrides), read_samples(changed))


def test_names_and_numbers_of_sets_are_checked(joint: Recipe, sets: dict[str, Path], tmp_path: Path) -> None:
    for named, message in (
        ({"one": {"source": "x"}}, "needs two data sets or more"),
        ({"a/b": {"source": "x"}, "c": {"source": "y"}}, "name of a data set is a folder's"),
        (
            {"a" * 201: {"source": "x"}, "c": {"source": "y"}},
            "name of a data set has up to 200 bytes, all shown",
        ),
        (
            {"a\nb": {"source": "x"}, "c": {"source": "y"}},
            "name of a data set has up to 200 bytes, all shown",
        ),
    ):
        with pytest.raises(InvalidSetting, match=message):
            Recipe.build({"joint": {"sets": named}})
    with pytest.raises(InvalidSetting, match=r"A cross-validation takes one data set; .*level, half"):
        cross_validate(joint, 2)
    several = tmp_path / "several.csv"
    several.write_text("path,label\na.mp4,x|y\nb.mp4,x\n")
    with pytest.raises(InvalidSetting, match="Samples of 'several' carry several labels"):
        read_samples(jointly(joint, {"level": sets["level"], "several": several}))
    single = tmp_path / "single.csv"
    single.write_text("path,label\na.mp4,x\nb.mp4,x\n")
    one = jointly(joint, {"level": sets["level"], "single": single})
    with pytest.raises(InvalidSetting, match="All samples of 'single' are of one class"):
        resolve(one, read_samples(one))


def test_heads_keep_their_form_when_parted() -> None:
    model = create_model("fc_tiny", ("a", "b", "c"))
    model.shape_head(HeadForm("normalised", bias=False, scale=7))
    part = model.with_rows(slice(1, 3), replace(model.labels, names=("b", "c")))
    clip = torch.rand(2, model.specs[0].length, 3, *model.specs[0].size)
    with torch.no_grad():
        torch.testing.assert_close(part(clip), model(clip)[:, 1:])
