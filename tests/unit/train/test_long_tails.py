"""Long tails in whole runs: margins, deferred weights, a classifier trained anew, heads changed by a rule."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kinesphere.clips.spec import Views
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.core.labels import LabelSet
from kinesphere.data import Manifest, Sample
from kinesphere.evaluate import collect
from kinesphere.evaluate.predictions import Predictions
from kinesphere.models import create_model, load_model
from kinesphere.models.head import HeadForm, NormalisedHead, add_to_logits, tau_normalise
from kinesphere.predict import Predictor, load
from kinesphere.train import Recipe, module, train
from kinesphere.train.losses import DeferredLoss
from kinesphere.train.resolve import read_data, resolve
from kinesphere.train.run import Run


def manifest(*labels: str, multi: bool = False) -> Manifest:
    samples = tuple(
        Sample(f"{label}{i}", Path(f"{label}{i}.mp4"), (label,)) for label in labels for i in range(20)
    )
    return Manifest(samples, LabelSet(labels, multi=multi), Path())


def asked(*overrides: str) -> Recipe:
    return Recipe.build({"data": {"source": "x"}}).override("compute.device=cpu", *overrides)


def test_ldam_sets_a_normalised_head_and_defers() -> None:
    resolved, _ = resolve(asked("loss.name=ldam"), manifest("a", "b"))
    assert (resolved.model.head, resolved.loss.defer) == ("normalised", 0.8)
    never, _ = resolve(asked("loss.name=ldam", "loss.defer=1"), manifest("a", "b"))
    assert never.loss.defer == 1
    plain, _ = resolve(asked("loss.name=class_balanced"), manifest("a", "b"))
    assert (plain.model.head, plain.loss.defer) == (None, None)


def test_a_head_of_cosines_has_no_dropout_before_it_unless_it_is_stated() -> None:
    data = manifest("a", "b")
    assert resolve(asked("model.name=dd_net", "loss.name=ldam"), data)[0].model.arguments == {"dropout": 0.0}
    asked_for = asked("model.name=c3d_tiny", "model.head=normalised", "model.arguments.dropout=0.3")
    assert resolve(asked_for, data)[0].model.arguments == {"dropout": 0.3}
    for plain in (("model.name=dd_net",), ("model.name=r3d_18", "loss.name=ldam")):
        assert resolve(asked(*plain), data)[0].model.arguments == {}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("loss.name=ldam", "data.balance=sqrt"),
            r"ldam makes up for .*data\.balance=sqrt",
        ),
        (
            ("loss.name=focal", "loss.defer=0.5"),
            r"loss\.defer puts off .* of which focal",
        ),
        (("rebalance.method=tau_normalised",), r"name its run in model\.pretrained"),
        (("rebalance.method=logit_adjusted", "model.pretrained=k400", "model.reset_head=true"), "leave"),
        (
            ("rebalance.method=tau_normalised", "model.pretrained=k400", "probe.lr=0.1", "model.freeze=all"),
            r"rebalance trains nothing, and probe\.lr trains heads",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        resolve(asked("model.name=r3d_18", *overrides), manifest("a", "b"))


def test_rebalance_refuses_several_labels() -> None:
    several = asked("model.name=r3d_18", "rebalance.method=tau_normalised", "model.pretrained=k400")
    with pytest.raises(InvalidSetting, match="rebalance needs one label per sample"):
        resolve(several, manifest("a", "b", multi=True))
    with pytest.raises(InvalidSetting, match="largest probability of each label, which sum to more than 1"):
        resolve(asked("test.views=10x3max"), manifest("a", "b"))
    assert resolve(asked("test.views=10x3max"), manifest("a", "b", multi=True))[0].test.views == "10x3max"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("loss.name=class_balanced", "data.balance=equal"), "draws them more often as well"),
        (("loss.name=ldam", "augment.mixup=0.2"), "which targets of mixed clips have only on average"),
    ],
)
def test_what_counts_twice_is_told(
    overrides: tuple[str, ...], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "kinesphere.train"):
        resolve(asked(*overrides), manifest("a", "b"))
    assert said in caplog.text


def test_parents_come_from_the_recipe_or_the_manifest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = tmp_path / "m.csv"
    rows = ["path,label,parent", "a.mp4,fast,walk", "b.mp4,slow,walk", "c.mp4,fall,"]
    table.write_text("\n".join(rows))
    given = Recipe.build({"data": {"source": str(table)}})
    assert read_data(given.data).labels.parents == (("fast", "walk"), ("slow", "walk"))
    stated = given.override("data.parents={fast: move, fall: move}")
    assert read_data(stated.data).labels.parents == (("fast", "move"), ("fall", "move"))
    graded = given.override("data.labels=[slow, fast, fall]", "data.ordered=true")
    labels = read_data(graded.data).labels
    assert (labels.graded, labels.ordered, labels.grades) == (True, True, (0, 1, 0))
    assert LabelSet.from_json(labels.to_json()) == labels
    with pytest.raises(LabelMismatch, match=r"In the list of parents, fats of walk.*Did you mean 'fast'"):
        read_data(given.override("data.parents={fats: walk}").data)
    with pytest.raises(InvalidSetting, match=r"ordered needs data\.labels"):
        given.override("data.ordered=true")
    table.write_text("\n".join([*rows, "d.mp4,fast,run"]))
    with caplog.at_level(logging.INFO, "kinesphere.train"):
        assert read_data(given.data).labels.parents == ()
    assert "gives 'fast' several parents, 'walk' and 'run'" in caplog.text


def test_tau_normalisation_by_hand() -> None:
    weight = torch.tensor([[3.0, 4.0], [0.0, 1.0], [0.6, 0.8]])
    for tau in (0.0, 0.5, 1.0):
        head = torch.nn.Linear(2, 3)
        with torch.no_grad():
            head.weight.copy_(weight)
        bias = head.bias.detach().clone()
        tau_normalise(head, tau, "fc")
        wanted = weight / weight.norm(dim=1, keepdim=True) ** tau
        torch.testing.assert_close(head.weight / head.weight[0, 1], wanted / wanted[0, 1])
        torch.testing.assert_close(head.bias, bias)
        if tau == 0:
            assert torch.equal(head.weight, weight)
    with pytest.raises(InvalidSetting, match="The head 'fc' is normalised: the norms"):
        tau_normalise(NormalisedHead(weight, None, 30.0), 0.5, "fc")
    with pytest.raises(InvalidSetting, match="The head 'fc' has no bias to add to"):
        add_to_logits(torch.nn.Linear(2, 3, bias=False), torch.ones(3), "fc")


@pytest.fixture(scope="module")
def long_tail(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Eight bright clips, four dark and two striped to learn from, with those that validate and test."""
    root = tmp_path_factory.mktemp("tail")
    lines = ["path,label,split"]
    for label, learnt in {"bright": 4, "dark": 3, "striped": 1}.items():
        splits = ["train"] * learnt + ["val", "val", "test", "test"]
        lines += [f"{videos / label / f'{i}.mp4'},{label},{split}" for i, split in enumerate(splits)]
    (root / "data.csv").write_text("\n".join(lines))
    return Recipe.build(
        {
            "data": {"source": str(root / "data.csv")},
            "model": {"name": "fc_tiny"},
            "augment": {"preset": "none"},
            "train": {"epochs": 3, "batch_size": 4, "checkpoint_minutes": None},
            "optimizer": {"lr": 0.01},
            "compute": {"device": "cpu", "precision": "fp32", "workers": 0},
            "log": {"tensorboard": False},
            "test": {"shots": [2, 3]},
            "out": str(root / "run"),
        }
    )


@pytest.fixture(scope="module")
def base(long_tail: Recipe) -> Run:
    return train(long_tail)


def test_ldam_is_trained_kept_and_predicted(long_tail: Recipe, tmp_path: Path, monkeypatch) -> None:
    asked_at: list[float] = []
    at = module.loss_at

    def noted(loss: DeferredLoss, progress: float) -> object:
        asked_at.append(progress)
        return at(loss, progress)

    monkeypatch.setattr(module, "loss_at", noted)
    run = train(long_tail.override("loss.name=ldam", "model.head_scale=16", f"out={tmp_path / 'ldam'}"))
    assert asked_at == [step / 6 for step in range(6)]  # the last of six steps is weighted
    kept = load_model(run.folder)
    assert kept.head == HeadForm("normalised", bias=False, scale=16.0)
    assert kept.provenance.class_counts == {"bright": 4, "dark": 3, "striped": 1}
    said = Predictions.read(run.folder)
    predictor = load(run.folder, compute=Compute("cpu", "fp32", True))
    again = collect(predictor, read_data(long_tail.data).where(split="test"), workers=0)
    np.testing.assert_allclose(again.probabilities, said.probabilities, atol=1e-6)
    assert run.report is not None
    assert run.report.frequency is not None
    assert [(row.name, row.classes) for row in run.report.frequency.rows] == [
        ("many", 1), ("medium", 1), ("few", 1),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_classifier_is_trained_anew_on_balanced_draws(
    base: Run, long_tail: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    again = long_tail.override(
        f"model.pretrained={base.folder}", "model.freeze=all", "model.reset_head=true", "data.balance=equal",
        "train.epochs=1", f"out={tmp_path / 'crt'}",
    )  # fmt: skip
    with caplog.at_level(logging.INFO, "kinesphere.train"):
        run = train(again)
    before, after = (load_file(folder / "model.safetensors") for folder in (base.folder, run.folder))
    head = load_model(base.folder).card.head[0]
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{head}.weight", f"{head}.bias"}
    assert f"Fresh head: {head}.weight" in caplog.text


def head_of(folder: Path) -> torch.nn.Module:
    recogniser = load_model(folder)
    return recogniser.net.get_submodule(recogniser.card.head[0])


def test_tau_is_chosen_on_the_validation_samples(base: Run, long_tail: Recipe, tmp_path: Path) -> None:
    weights = f"model.pretrained={base.folder}"
    nothing = train(
        long_tail.override(
            weights, "rebalance.method=tau_normalised", "rebalance.tau=0", f"out={tmp_path / '0'}"
        )
    )
    for name, value in load_file(base.folder / "model.safetensors").items():
        assert torch.equal(load_file(nothing.folder / "model.safetensors")[name], value)
    assert base.report is not None
    assert nothing.report is not None
    assert nothing.report.scores == base.report.scores
    run = train(
        long_tail.override(weights, "rebalance.method=logit_adjusted", f"out={tmp_path / 'adjusted'}")
    )
    with run.files.rebalanced.open(newline="") as file:
        rows = list(csv.DictReader(file))
    best = max(rows, key=lambda row: (float(row["mean_class_accuracy"]), -float(row["tau"])))
    (kept,) = (row for row in rows if row["kept"] == "True")
    assert len(rows) == 11
    assert kept == best
    assert run.report is not None
    assert (
        f"logit-adjusted with tau {float(best['tau']):g}, the best of 11 by mean_class_accuracy on 6"
        in " ".join(run.report.notes)
    )
    moved = head_of(run.folder).bias - head_of(base.folder).bias
    priors = torch.tensor([4, 3, 1]).div(8).log()
    torch.testing.assert_close(moved, -float(best["tau"]) * priors)


@pytest.mark.slow
def test_heads_without_a_bias_get_one_to_adjust(
    long_tail: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "ldam"
    train(long_tail.override("loss.name=ldam", "train.epochs=1", f"out={folder}"))
    adjusted = ("rebalance.method=logit_adjusted", "rebalance.tau=1", f"model.pretrained={folder}")
    run = train(long_tail.override(*adjusted, f"out={tmp_path / 'a'}"))
    assert load_model(run.folder).head == HeadForm("normalised", bias=True, scale=30.0)
    assert "was trained with loss.name=ldam, which makes up for the shares of classes" in caplog.text
    assert run.report is not None
    assert "logit-adjusted with tau 1." in " ".join(run.report.notes)
    assert not run.files.rebalanced.is_file()
    with pytest.raises(InvalidSetting, match="is normalised: the norms of its weights do not count"):
        train(long_tail.override(*adjusted, "rebalance.method=tau_normalised", f"out={tmp_path / 'b'}"))


def test_weights_of_other_classes_have_no_head_to_rebalance(
    base: Run, long_tail: Recipe, tmp_path: Path
) -> None:
    table = tmp_path / "other.csv"
    text = Path(long_tail.data.source[0]).read_text()
    table.write_text(text.replace(",striped,", ",stripes,"))
    rule = ("rebalance.method=tau_normalised", f"model.pretrained={base.folder}", f"data.source={table}")
    with pytest.raises(InvalidSetting, match="does not know the classes of the data"):
        train(long_tail.override(*rule, f"out={tmp_path / 'x'}"))
    unheld = ("data.source=" + long_tail.data.source[0], "data.val=0", f"out={tmp_path / 'y'}")
    with pytest.raises(InvalidSetting, match=r"tried on validation samples, and data\.val is 0"):
        train(long_tail.override(*rule, *unheld))


def test_several_labels_may_take_the_largest_probability_of_their_views() -> None:
    predictor = Predictor(
        create_model("fc_tiny", LabelSet(("a", "b"), multi=True)), Compute("cpu", "fp32", True)
    )
    views = torch.tensor([[[0.1, 0.8], [0.5, 0.2]]])
    assert Views.parse("2x1max") == Views(2, 1, "max")
    assert str(Views(2, 1, "max")) == "2x1max"
    largest = predictor.averaged(views, Views(2, 1, "max"))
    torch.testing.assert_close(largest, torch.tensor([[0.5, 0.8]]))
    torch.testing.assert_close(predictor.averaged(views, Views(2)), torch.tensor([[0.3, 0.5]]))
