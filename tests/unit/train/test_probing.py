"""Probes on frozen features: one pass for all, each as if it were alone, chosen without the test."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from kinesphere.clips.modality import MODALITIES
from kinesphere.core import threads
from kinesphere.core.errors import InvalidSetting, TrainingDiverged
from kinesphere.core.labels import LabelSet
from kinesphere.data import Manifest, Sample
from kinesphere.models import create_model, load_model
from kinesphere.models.attentive import AttentivePooler, SingleQueryPooler
from kinesphere.models.create import relabel
from kinesphere.models.head import HeadForm
from kinesphere.models.probe_head import (
    NeighbourProbe,
    ProbeForm,
    _layer_of,
    coarse_grid,
    directions,
    form_from_json,
    grid_of,
    pooled,
    positions,
)
from kinesphere.models.recogniser import Recogniser
from kinesphere.models.runtime.frozen import FrozenSplit, Head, logits_of
from kinesphere.models.weights.joining import _common_form
from kinesphere.train.cross_validation import cross_validate
from kinesphere.train.features import FeatureReader, Features
from kinesphere.train.probe_trainer import Probe, ProbeTrainer
from kinesphere.train.recipe import Recipe
from kinesphere.train.resolve import read_data, resolve
from kinesphere.train.run import train
from kinesphere.train.trainer import loss_of, starting

GRID = ("probe.lr=[0.03, 0.01, 0.001]", "probe.weight_decay=[0, 0.1]")


@pytest.fixture
def probing(recipe: Recipe) -> Recipe:
    return recipe.override(
        "model.name=kine_tiny", "model.freeze=layer4", "augment.preset=none", "train.epochs=4", *GRID
    )


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Clips whose features were computed, a number for each batch."""
    counts: list[int] = []
    compute = FeatureReader._computed

    def counted(self: FeatureReader, inputs: tuple[torch.Tensor, ...]) -> object:
        counts.append(len(inputs[0]))
        return compute(self, inputs)

    monkeypatch.setattr(FeatureReader, "_computed", counted)
    return counts


def clips_of(recogniser: Recogniser, count: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((count, spec.length, *MODALITIES.get(spec.modality).shape(spec)) for spec in recogniser.specs)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


@pytest.mark.parametrize(
    ("name", "freeze"),
    [
        ("kine_tiny", "layer4"),
        ("movinet_tiny", "conv7"),  # an activation stands between the layers that learn
        ("x3d_tiny", "conv5"),
        ("vjepa2_tiny", "norm"),  # the attentive probe
        ("tsn_tiny", "backbone.layer4"),  # segments, whose logits are averaged
        ("tanet_tiny", "backbone.layer4"),
        ("stgcn_tiny", "blocks.2"),  # joints
    ],
)
def test_features_and_head_are_the_network(name: str, freeze: str) -> None:
    recogniser = create_model(name, ("a", "b", "c", "d"))
    recogniser.freeze(freeze)
    split, clips = FrozenSplit(recogniser), clips_of(recogniser, 3)
    features = split.features(clips)
    assert len(features) == 3
    with torch.no_grad():
        assert torch.allclose(split.head().eval()(features), recogniser(*clips), atol=1e-5)
        alone = split.features(tuple(x[1:2] for x in clips))
        assert torch.allclose(alone, features[1:2], atol=1e-5)


def test_networks_that_cannot_be_cut_say_where_they_can() -> None:
    recogniser = create_model("uniformer_tiny", ("a", "b"))
    recogniser.freeze("layer4")
    with pytest.raises(InvalidSetting, match=r"is no plain sequence.*model\.freeze=tail"):
        FrozenSplit(recogniser).features(clips_of(recogniser, 2))
    whole = create_model("kine_tiny", ("a", "b"))
    with pytest.raises(InvalidSetting, match=r"freeze some with model\.freeze, one of"):
        FrozenSplit(whole)


def test_the_attentive_probe_has_the_parameters_of_its_formula() -> None:
    for width, depth in ((32, 1), (48, 3)):
        block = 12 * width**2 + 13 * width
        query = 3 * width**2 + 3 * width + 8 * width**2 + 5 * width + 4 * width + width
        found = sum(p.numel() for p in AttentivePooler(width, 4, depth).parameters())
        assert found == depth * block + query


@pytest.mark.parametrize("kind", ["linear", "attentive"])
def test_probes_trained_at_once_are_those_trained_alone(probing: Recipe, tmp_path: Path, kind: str) -> None:
    resolved, parts = resolve(probing, read_data(probing.data))
    compute = resolved.compute.choose()
    recogniser = starting(resolved, parts, compute)
    if kind == "attentive":
        form = ProbeForm("attentive", 32)
        recogniser = recogniser.probed(form.build(len(parts.train.labels)), form)
    split = FrozenSplit(recogniser)
    from kinesphere.data.dataset import ClipDataset

    dataset = ClipDataset(parts.train, split.recogniser.specs, train=False)
    reader = FeatureReader(split, tmp_path / "features", compute, 0, 4)
    features = reader.read(dataset, lambda _batch: None, lambda _done, _total: None)
    trainer = ProbeTrainer(resolved, split.head(), loss_of(resolved, parts.train), parts.train.labels)
    probes = [Probe(lr, decay) for lr in (0.1, 0.03, 0.01, 0.003) for decay in (0.0, 0.01, 0.1)]
    together = trainer.train(probes, features)
    for number in (0, 5, 11):
        (alone,) = trainer.train([probes[number]], features)
        for a, b in zip(together[number].parameters(), alone.parameters(), strict=True):
            assert torch.allclose(a, b, atol=1e-5)
    features.files[0].write_bytes(features.files[0].read_bytes()[:100])  # is computed again
    mended = reader.read(dataset, lambda _batch: None, lambda _done, _total: None)
    assert features.loaded is not None
    assert mended.loaded is not None
    assert torch.allclose(mended.loaded, features.loaded, atol=1e-6)
    first, last = (dict(together[number].named_parameters()) for number in (0, 11))
    assert max(float((first[name] - last[name]).abs().max()) for name in first) > 1e-3


def test_a_run_of_probes_keeps_the_best_by_validation(
    probing: Recipe, computed: list[int], tmp_path: Path
) -> None:
    cached = probing.override(f"probe.cache={tmp_path / 'features'}")
    run = train(cached)
    assert sum(computed) == 18  # 15 to train on, 3 that validate, each once for six probes
    with run.files.probes.open() as file:
        rows = list(csv.DictReader(file))
    assert [(float(row["lr"]), float(row["weight_decay"])) for row in rows[:3]] == [
        (0.03, 0),
        (0.03, 0.1),
        (0.01, 0),
    ]
    (kept,) = [row for row in rows if row["kept"] == "True"]
    assert float(kept["top1"]) == max(float(row["top1"]) for row in rows)
    assert run.report is not None
    note = run.report.notes[-1]
    assert f"the best of 6 (learning rate {float(kept['lr']):g}, weight decay" in note
    assert "by top1 on 3 validation clips" in note
    model = load_model(run.files.model)
    assert model.provenance.scores["val_top1"] == pytest.approx(float(kept["top1"]))
    computed.clear()
    again = train(cached.override(f"out={tmp_path / 'again'}"))
    assert not sum(computed[1:])  # one clip shows where the network is cut, all others are found
    assert load_model(again.files.model).net.fc.weight.equal(model.net.fc.weight)  # type: ignore[operator,union-attr]
    resumed = train(cached, resume=True)
    assert resumed.report is not None


def test_without_validation_inner_folds_choose_and_all_folds_share_features(
    probing: Recipe, computed: list[int], tmp_path: Path
) -> None:
    folder = tmp_path / "folds"
    done = cross_validate(
        probing.override("data.val=auto", f"out={folder}", "probe.folds=2", "train.epochs=1"), 3
    )
    assert sum(computed) in (24, 25)  # every clip once for all folds; one shows the last where the cut is
    assert any(
        "the best of 6" in note and "training clips in 2 inner folds" in note for note in done.report.notes
    )
    assert (folder / "features").is_dir()


def test_probes_that_diverge_are_passed_over(probing: Recipe) -> None:
    run = train(probing.override("probe.lr=[1e12, 0.01]", "probe.weight_decay=[1e9, 0]"))
    with run.files.probes.open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["loss"] == ""
    assert float(next(row["weight_decay"] for row in rows if row["kept"] == "True")) == 0


def test_only_probes_that_diverge_end_the_run(probing: Recipe) -> None:
    with pytest.raises(TrainingDiverged, match=r"all 1 probes stopped being a number; give lower probe\.lr"):
        train(probing.override("probe.lr=1e12", "probe.weight_decay=1e9"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.freeze=null", "probe.lr needs model.freeze"),
        ("model={name: kine_tiny, head: normalised, freeze: layer4}\nprobe.kind=knn", "leave model.head out"),
        ("probe={kind: attentive}", r"attentive and pooled probes are trained: give probe\.lr"),
        ("probe.stages=layer3", r"what pooled probes look at; add pooled to probe\.kind"),
        ("probe.cells=4x3", "cells are parts along time, rows and columns, such as 4x3x3; got '4x3'"),
        ("probe.kind=pooled\nprobe.stages=layer9", "kine_tiny has no stage 'layer9'"),
        ("train.ema=0.9", r"take no train\.ema"),
        ("train.early_stopping=2", r"take no train\.early_stopping"),
        ("probe.lr=[]", r"probe\.weight_decay is tried with each probe\.lr"),
    ],
)
def test_what_probes_do_not_do_is_refused(probing: Recipe, override: str, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        train(probing.override(*override.splitlines()))


def test_mirror_images_that_have_another_label_are_no_views_of_probes() -> None:
    names = [(side, f"{side}{i}") for side in ("left", "right") for i in range(9)]
    samples = tuple(Sample(name, Path(f"{name}.mp4"), (side,)) for side, name in names)
    sided = Manifest(samples, LabelSet(("left", "right"), mirror=(("left", "right"),)), Path())
    asked = Recipe.build({"data": {"source": "x"}}).override(
        "probe.kind=pooled", "probe.lr=0.1", "test.views=1x1"
    )
    resolve(asked, sided)
    with pytest.raises(InvalidSetting, match="mirror images here have another one"):
        resolve(asked.override("probe.views=1x2"), sided)


def test_one_query_is_attended_without_keys_of_single_tokens() -> None:
    folded, plain = SingleQueryPooler(24, 3), AttentivePooler(24, 3)
    for parameter in folded.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    plain.load_state_dict(folded.state_dict())
    tokens = torch.randn(2, 7, 24)
    assert torch.allclose(folded(tokens), plain(tokens), atol=1e-5)


def test_attentive_probes_read_tokens_together_and_answer_as_alone() -> None:
    torch.manual_seed(0)
    heads = [Head([ProbeForm("attentive", 24).build(3)], parts=False) for _ in range(3)]
    tokens, targets = torch.randn(4, 7, 24), torch.tensor([0, 1, 2, 0])
    torch.nn.init.constant_(heads[1].layers[0].pooler.query, torch.nan)  # has diverged

    def gradients(of: list[Head]) -> list[torch.Tensor]:
        losses = [torch.nn.functional.cross_entropy(logits, targets) for logits in logits_of(of, tokens)]
        torch.stack(losses).sum().backward()
        return [parameter.grad.clone() for head in of for parameter in head.parameters()]

    together = gradients(heads)
    for head in heads:
        head.zero_grad()
    alone = [gradient for head in heads for gradient in gradients([head])]
    for a, b in zip(together, alone, strict=True):
        assert torch.allclose(a, b, atol=1e-7, equal_nan=True)
    own = len(list(heads[0].parameters()))
    assert all(bool(gradient.isfinite().all()) for gradient in together[:own] + together[2 * own :])
    assert heads[0].shares_work
    linear = Head([torch.nn.Linear(24, 3)], parts=False)
    assert not linear.shares_work
    assert logits_of([linear, linear], tokens)[1].shape == (4, 3)


def made_up(trained: Head, shape: tuple[int, ...], recipe: Recipe) -> tuple[ProbeTrainer, Features]:
    """A trainer of heads on random features `(8, 2, …)` of three classes."""
    names = ("a", "b", "c")
    samples = tuple(Sample(f"{i}", Path(f"{i}.mp4"), (names[i % 3],)) for i in range(8))
    targets = torch.eye(3)[torch.arange(8) % 3]
    tokens = torch.randn((8, 2, *shape), generator=torch.Generator().manual_seed(0))
    features = Features(
        Manifest(samples, LabelSet(names), Path()), targets, tuple(s.path for s in samples), tokens
    )
    return ProbeTrainer(recipe, trained, torch.nn.functional.cross_entropy, LabelSet(names)), features


@pytest.mark.parametrize("kind", ["attentive", "linear", "knn"])
def test_probes_are_scored_together_as_alone(kind: str) -> None:
    torch.manual_seed(0)
    heads: list[torch.nn.Module] = [
        Head([ProbeForm("attentive", 24).build(3)], parts=False).eval() for _ in range(3)
    ]
    if kind == "linear":
        heads = [Head([torch.nn.Linear(24, 3)], parts=False) for _ in range(3)]
    recipe = Recipe.build({"data": {"source": "x"}}).override("train.batch_size=3")
    trainer, features = made_up(Head([torch.nn.Linear(24, 3)], parts=False), (7, 24), recipe)
    if kind == "knn":
        bank = directions(torch.randn(4, 7, 24))
        heads = [NeighbourProbe(bank, torch.eye(3, 4), ProbeForm("knn", 24, 4, k)) for k in (1, 2)]
    together = trainer.scores(heads, features)
    for head, found in zip(heads, together, strict=True):
        assert found is not None
        (alone,) = trainer.scores([head], features)
        assert found == pytest.approx(alone, abs=1e-6)
    assert together[0] != together[1]


def test_small_probes_compute_with_one_thread_however_many_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in threads.STATED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "cpu_count", lambda: 2)
    recipe = Recipe.build({"data": {"source": "x"}}).override("train.epochs=1", "compute.device=cpu")
    trainer, features = made_up(Head([torch.nn.Linear(24, 3)], parts=False), (24,), recipe)
    seen: list[int] = []
    step = trainer._step

    def counted(*arguments: object) -> None:
        seen.append(torch.get_num_threads())
        step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer, "_step", counted)
    probes = [Probe(0.1, 0.0), Probe(0.01, 0.0)]
    with threads.computing_with(2):
        trainer.train(probes, features)
        monkeypatch.setattr(threads, "MULTIPLY_ADDS_PER_TRAINING_THREAD", 24 * 3 * 16)  # half of a step's
        trainer.train(probes, features)
        assert torch.get_num_threads() == 2
    assert seen == [1, 1, 2, 2]


def test_neighbours_vote_by_their_cosine() -> None:
    bank = directions(torch.tensor([[[1.0, 0.0]], [[0.8, 0.6]], [[0.0, 1.0]]]))
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    clip = torch.tensor([[[3.0, 0.0], [1.0, 0.0]]])  # two positions whose mean points as the first row does
    near = torch.tensor([1.0, 0.8]) / 0.1
    shares = near.softmax(0)
    found = NeighbourProbe(bank, targets, ProbeForm("knn", 2, 3, 2, 0.1))(clip).softmax(1)
    assert torch.allclose(found[0], shares, atol=2e-4)
    several = NeighbourProbe(bank, targets, ProbeForm("knn", 2, 3, 2, 0.1, multi=True))(clip).sigmoid()
    assert torch.allclose(several[0], shares, atol=2e-4)


@pytest.mark.parametrize("name", ["movinet_stream_tiny", "vjepa2_tiny", "stgcn_tiny", "timesformer_tiny"])
def test_a_probe_looks_at_each_clips_own_positions(name: str) -> None:
    recogniser = create_model(name, ("a", "b", "c"))
    clips = clips_of(recogniser, 3)
    with torch.no_grad():
        found = positions(recogniser.net, grid_of(recogniser.card), clips)
        alone = positions(recogniser.net, grid_of(recogniser.card), tuple(x[1:2] for x in clips))
    assert torch.allclose(found[1:2], alone, atol=1e-5)
    form = ProbeForm("attentive", found.shape[-1])
    probed = recogniser.probed(form.build(3), form).eval()
    split = FrozenSplit(probed)
    assert torch.allclose(split.head().eval()(split.features(clips)), probed(*clips), atol=1e-5)
    assert not any(p.requires_grad for n, p in probed.net.named_parameters() if not n.startswith("probe."))


@pytest.mark.parametrize("kinds", ["[linear, attentive, knn]", "knn"])
def test_kinds_of_probes_are_tried_together_and_the_best_is_a_model(
    probing: Recipe, tmp_path: Path, kinds: str
) -> None:
    settings = ["probe.lr=[]", "probe.weight_decay=[]", "model.freeze=null"] if kinds == "knn" else []
    run = train(
        probing.override(
            f"probe.kind={kinds}", "probe.k=[1, 3]", "probe.temperature=0.1", "train.epochs=1", *settings
        )
    )
    with run.files.probes.open() as file:
        rows = list(csv.DictReader(file))
    expected = ["knn"] * 2 if kinds == "knn" else ["linear"] * 6 + ["attentive"] * 6 + ["knn"] * 2
    assert [row["kind"] for row in rows] == expected
    kept = next(row for row in rows if row["kept"] == "True")
    model = load_model(run.files.model)
    kind = "linear" if model.head is None else model.head.kind
    assert kind == kept["kind"]
    assert model.provenance.scores["val_top1"] == pytest.approx(float(kept["top1"]))
    if kinds == "knn":
        assert isinstance(model.net.probe, NeighbourProbe)
        assert len(model.net.probe.bank) == 15
        before = model(*clips_of(model, 2))
        relabel(model, LabelSet(tuple(reversed(model.labels.names))), "again")
        assert torch.allclose(model(*clips_of(model, 2)), before.flip(1), atol=1e-6)
        with pytest.raises(InvalidSetting, match=r"is knn already; put a probe on"):
            model.probed(model.net.probe, model.net.probe.form)
        with pytest.raises(InvalidSetting, match=r"answers by a probe \(knn\), whose head keeps its form"):
            model.shape_head(HeadForm("normalised"))


def test_networks_with_several_grids_take_no_such_probe() -> None:
    recogniser = create_model("slowfast_tiny", ("a", "b"))
    with pytest.raises(InvalidSetting, match=r"has 2 last layers with positions.*take probe\.kind=linear"):
        grid_of(recogniser.card)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0}, "The width of a probe"),
        ({"width": 8, "rows": 10**9}, "The rows of a probe"),
        ({"width": 8, "rows": 3, "temperature": 0.0}, "A temperature is above 0"),
        ({"width": 8, "rows": 3, "colour": 1}, "no form of a probe"),
    ],
)
def test_a_form_of_a_probe_is_checked(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        form_from_json({"kind": "knn", **wrong})


def test_probes_are_fused_and_not_joined() -> None:
    parts = [create_model("kine_tiny", ("a", "b")) for _ in range(2)]
    form = ProbeForm("attentive", 8)
    for part in parts:
        part.head = form
    with pytest.raises(InvalidSetting, match=r"answer by probes \(attentive\), which cannot be joined; fuse"):
        _common_form("whole", parts)


@pytest.mark.parametrize(
    ("name", "stage", "layout"),
    [
        ("movinet_stream_tiny", "block5", "B C T H W"),  # frames are folded only behind the stages
        ("movinet_stream_tiny", "", "BT C H W"),
        ("kine_tiny", "layer3", "B C T H W"),
        ("vjepa2_tiny", "", "B THW C"),
        ("stgcn_tiny", "blocks.1", "BM C T J"),
    ],
)
def test_a_pooled_probe_sees_means_over_parts_of_a_stage(name: str, stage: str, layout: str) -> None:
    recogniser = create_model(name, ("a", "b", "c"))
    clips = clips_of(recogniser, 3)
    with torch.no_grad():
        whole, channels = coarse_grid(recogniser.net, recogniser.card, stage, (1, 1, 1), clips)
        parts, numbers = coarse_grid(recogniser.net, recogniser.card, stage, (2, 1, 1), clips)
        layers = tuple((_layer_of(recogniser.card, grid), grid.cells) for grid in (whole, parts))
        mean, halves = pooled(recogniser.net, layers, clips)
    assert (whole.layout, numbers) == (layout, 2 * channels)
    assert torch.allclose(mean, halves.unflatten(1, (2, channels)).mean(1), atol=1e-5)
    form = ProbeForm("pooled", numbers, grids=(parts,))
    assert form_from_json(json.loads(json.dumps(form.to_json()))) == form
    probed = recogniser.probed(form.build(3), form).eval()
    split = FrozenSplit(probed)
    assert torch.equal(split.features(clips), halves)
    assert torch.allclose(split.head().eval()(halves), probed(*clips), atol=1e-5)


def test_pooled_probes_of_several_stages_are_held_against_each_other(
    probing: Recipe, tmp_path: Path, computed: list[int]
) -> None:
    run = train(
        probing.override(
            "probe.kind=pooled", "probe.stages=[layer3, layer4]", "probe.cells=[1x1x1, 2x2x2]",
            "probe.views=1x2", "probe.lr=0.01", "probe.weight_decay=[]", "model.freeze=null",
        )
    )  # fmt: skip
    with run.files.probes.open() as file:
        rows = list(csv.DictReader(file))
    grids = [f"{stage} {cells}" for stage in ("layer3", "layer4") for cells in ("1x1x1", "2x2x2")]
    assert [(row["kind"], row["grid"]) for row in rows] == [("pooled", grid) for grid in grids]
    kept = next(row for row in rows if row["kept"] == "True")
    assert f"pooled, {kept['grid']}, learning rate 0.01" in " ".join(run.report.notes)
    model = load_model(run.files.model)
    assert isinstance(model.head, ProbeForm)
    assert str(model.head.grids[0]) == kept["grid"]
    assert model.card.cam_layers[0].path == f"encoder.{model.head.grids[0].stage}"
    assert model.provenance.scores["val_top1"] == pytest.approx(float(kept["top1"]))
    assert sum(computed) == 15 + 3, "one pass for all grids"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"grids": []}, "Pooled probes have grids, and no others"),
        ({"grids": [{"stage": "", "cells": [0, 1, 1], "layout": "B C T"}]}, "Cells are three numbers from 1"),
        ({"grids": [{"stage": "", "cells": [1, 1, 1], "layout": "Q"}]}, "'Q' is no layout"),
        ({"grids": [{"stage": ""}]}, "no form of a probe"),
    ],
)
def test_a_form_of_a_pooled_probe_is_checked(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        form_from_json({"kind": "pooled", "width": 8, **wrong})
