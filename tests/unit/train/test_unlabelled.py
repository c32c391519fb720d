"""Learning from clips without labels: FixMatch and pre-training, in numbers and in whole runs."""

from __future__ import annotations

import io
import math
import re
import shutil
import signal
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from safetensors.torch import load_file

from kinesphere.apps.cli.train import _without_score
from kinesphere.clips.augment.settings import Augment
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.data import ClipDataset, Manifest, Sample
from kinesphere.data.dataset import Item
from kinesphere.data.near_duplicates import NearDuplicate
from kinesphere.data.sampler import Draw
from kinesphere.data.two_views import TwoViews
from kinesphere.models import Recogniser, create_model, load_model
from kinesphere.train import Recipe, train, trainer, unlabelled
from kinesphere.train.config import OptimizerSection, ScheduleSection
from kinesphere.train.history import read_history
from kinesphere.train.module import Length
from kinesphere.train.pretraining import ContrastiveTask, nt_xent
from kinesphere.train.resolve import read_data, resolve
from kinesphere.train.semi_supervised import consistency_loss, pseudo_labels, told
from kinesphere.train.splits_csv import SplitTable
from kinesphere.train.unlabelled_sections import PretrainSection

FIXMATCH = ("unlabelled.method=fixmatch", "unlabelled.ratio=2")


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_the_loss_is_the_mean_over_all_unlabelled_clips_and_stops_at_weak_views() -> None:
    weak = torch.tensor([[5.0, 0.0], [0.5, 0.0], [0.0, 6.0]], requires_grad=True)
    strong = torch.tensor([[1.0, 0.0], [9.0, 0.0], [0.0, 0.0]], requires_grad=True)
    labels = pseudo_labels(weak, 0.95)
    assert labels.classes.tolist() == [0, 0, 1]
    assert labels.sure.tolist() == [True, False, True]
    loss = consistency_loss(strong, labels)
    by_hand = (math.log(1 + math.exp(-1)) + 0 + math.log(2)) / 3
    assert loss.item() == pytest.approx(by_hand, abs=1e-6)
    loss.backward()
    assert weak.grad is None
    assert strong.grad is not None
    assert strong.grad[1].tolist() == [0, 0]


def test_nt_xent_equals_its_definition() -> None:
    one, two = torch.randn(3, 4), torch.randn(3, 4)
    loss, found = nt_xent(one, two, 0.5)
    clips = F.normalize(torch.cat((one, two)), dim=1)
    terms = []
    for i in range(6):
        similar = [math.exp(float(clips[i] @ clips[k]) / 0.5) if k != i else 0.0 for k in range(6)]
        terms.append(-math.log(similar[(i + 3) % 6] / sum(similar)))
    assert loss.item() == pytest.approx(sum(terms) / 6, abs=1e-5)
    assert found.shape == (6,)
    assert nt_xent(one, one, 0.1)[1].all()


def two(videos: Path, mirror: bool = True, **settings: object) -> TwoViews:
    manifest = Manifest.read(videos)
    pairs = (("bright", "dark"),) if mirror else ()
    manifest = Manifest(manifest.samples, LabelSet(manifest.labels.names, pairs), manifest.root)
    spec = create_model("fc_tiny", ["a", "b"]).specs
    augment = Augment(preset="light")
    return TwoViews(
        manifest, spec, weak=augment, strong=Augment(preset="standard", crop="centre"), **settings
    )


def test_views_share_time_and_flip_and_the_weak_one_is_that_of_training(videos: Path) -> None:
    data = two(videos)
    plain = ClipDataset(data.manifest, data.specs, train=True, augment=Augment(preset="light"))
    flips = set()
    for epoch in range(6):
        draw = Draw(0, epoch)
        weak, strong = data.clips(draw)[0]
        (alone,) = plain.clips(draw)[0]
        assert torch.equal(torch.as_tensor(weak.data), torch.as_tensor(alone.data))
        assert weak.flipped == strong.flipped
        assert weak.times.tolist() == strong.times.tolist()
        item, other = data[draw], plain[draw]
        assert isinstance(item, Item)
        assert isinstance(other, Item)
        assert item.target == other.target
        assert item.inputs[0].shape[0] == 2
        flips.add(weak.flipped)
    assert flips == {True, False}


def test_views_of_two_times_differ_in_time(videos: Path) -> None:
    data = two(videos, apart=True)
    times = [[clip.times[0] for clip in data.clips(Draw(0, epoch))[0]] for epoch in range(8)]
    assert any(first != second for first, second in times)


def fixmatch(recipe: Recipe, *overrides: str) -> Recipe:
    return recipe.override("data.label_fraction=0.5", "augment.flip=0", *FIXMATCH, *overrides)


def test_labels_are_drawn_by_class_and_published(recipe: Recipe) -> None:
    run = train(fixmatch(recipe, "train.epochs=2", "unlabelled.threshold=0.34"), console=quiet())
    table = SplitTable.read(run.files.splits)
    kept, without = ([row for row in table if row.part == part] for part in ("train", "unlabelled"))
    assert {row.labels[0] for row in kept} == {"bright", "dark", "striped"}
    assert len(kept) + len(without) == 24 - table.count("val") - table.count("test")
    again, parts = resolve(fixmatch(recipe), read_data(recipe.data))
    assert [sample.id for sample in parts.train] == [row.id for row in kept]
    assert again.train.ema == 0.999
    rows = read_history(run.files.metrics)
    assert 0 < rows[-1]["train_mask_rate"] <= 1
    assert 0 <= rows[-1]["train_pseudo_label_accuracy"] <= 1
    assert run.report is not None
    assert any("mask rate" in note for note in run.report.notes)
    _, parts = resolve(recipe.override("data.label_fraction=0.5"), read_data(recipe.data))
    assert [sample.id for sample in parts.train] == [row.id for row in kept]
    assert set(parts.uses().values()) == {"train", "val", "test"}


def test_a_mask_rate_of_nothing_says_what_to_do() -> None:
    nothing = told([{"train_mask_rate": 0.0, "train_pseudo_label_accuracy": None}])
    assert "taught nothing; lower unlabelled.threshold, or train longer" in nothing
    some = told([{"train_mask_rate": 0.25, "train_pseudo_label_accuracy": None}])
    assert "25.0 % of the unlabelled clips" in some
    assert "not known, as no clip among them has one" in some


class Stop(pl.Callback):
    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        if trainer.global_step == 3:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    "way",
    [
        FIXMATCH,
        pytest.param(("pretrain.method=contrastive",), marks=pytest.mark.slow),
        pytest.param(("pretrain.method=masked_tubes",), marks=pytest.mark.slow),
    ],
)
def test_a_resumed_run_ends_as_an_unbroken_one(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: tuple[str, ...]
) -> None:
    own = recipe.override("train.epochs=2", "train.checkpoint_steps=1", "train.batch_size=4", *way)
    if way == FIXMATCH:
        own = own.override("data.label_fraction=0.5", "unlabelled.threshold=0.4", "unlabelled.strong.flip=0")
    if "masked_tubes" in way[0]:
        own = own.override(
            "model.name=videomae_tiny",
            "pretrain.decoder_width=16",
            "pretrain.decoder_heads=2",
            "pretrain.mask=0.5",
        )
    whole = train(own.override(f"out={tmp_path / 'whole'}"), console=quiet())
    original = trainer._callbacks
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "_callbacks", lambda *a: [*original(*a), Stop()])
        with pytest.raises(KeyboardInterrupt):
            train(own, console=quiet())
    resumed = train(own, resume=True, console=quiet())
    for one, other in ((whole.files.last, resumed.files.last), (whole.files.model, resumed.files.model)):
        a, b = load_file(one), load_file(other)
        assert all(torch.equal(a[key], b[key]) for key in a)
    kept = ("train_loss", "train_top1", "train_mask_rate")
    a, b = (
        [{key: row.get(key) for key in kept} for row in read_history(run.files.metrics)]
        for run in (whole, resumed)
    )
    assert a == b


def test_unlabelled_clips_of_elsewhere(
    recipe: Recipe, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(videos, elsewhere)
    source = f"unlabelled.source={elsewhere}"
    with pytest.raises(InvalidSetting, match=r"24 unlabelled clips are not apart .* has the content of"):
        resolve(recipe.override(source, *FIXMATCH), read_data(recipe.data))
    for path in elsewhere.rglob("*.mp4"):
        path.write_bytes(path.read_bytes() + b"\0")
    first = sorted(elsewhere.rglob("*.mp4"))[0]
    twin = NearDuplicate(first, videos / first.relative_to(elsewhere), 0.0, 20)
    with monkeypatch.context() as patch:
        patch.setattr(unlabelled, "find_near_duplicates", lambda paths, workers: [twin])
        with pytest.raises(
            InvalidSetting, match=r"1 unlabelled clips are not apart .* shows the same as \w+ clip"
        ):
            resolve(
                recipe.override(source, "unlabelled.near_duplicates=true", *FIXMATCH), read_data(recipe.data)
            )
    resolved, parts = resolve(recipe.override(source, *FIXMATCH), read_data(recipe.data))
    assert parts.unlabelled is not None
    assert {sample.labels for sample in parts.unlabelled} == {()}
    assert resolved.unlabelled.source == (str(elsewhere.resolve()),)
    run = train(recipe.override(source, "train.epochs=1", *FIXMATCH), console=quiet())
    table = SplitTable.read(run.files.splits)
    assert table.count("unlabelled") == 24
    assert read_history(run.files.metrics)[0]["train_pseudo_label_accuracy"] is None
    assert train(recipe.override(source, "train.epochs=1", *FIXMATCH), resume=True).report is not None


def test_a_group_of_the_test_is_not_learnt_from_without_labels(recipe: Recipe, tmp_path: Path) -> None:
    def table(name: str, *rows: str) -> Path:
        path = tmp_path / name
        path.write_text("\n".join(["path,label,group,split", *rows]))
        return path

    known = table(
        "known.csv", *(f"{c}{i}.mp4,{c},p{i},{'test' if i == 3 else 'train'}" for c in "ab" for i in range(4))
    )
    pool = table("pool.csv", "x.mp4,,q1,", "y.mp4,a,p3,")
    asked = recipe.override(
        f"data.source={known}", "data.val=0", "data.test=test", f"unlabelled.source={pool}"
    )
    with pytest.raises(
        InvalidSetting, match=r"1 unlabelled clips .*'unlabelled/0/y.mp4' has the group of test clip"
    ):
        resolve(asked.override(*FIXMATCH), read_data(asked.data))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("unlabelled.source=x",), r"nothing learns from them; set unlabelled\.method, or"),
        (FIXMATCH, "There is no unlabelled clip"),
        ((*FIXMATCH, "pretrain.method=contrastive"), "Pre-train first"),
        ((*FIXMATCH, "augment.mixup=0.2"), r"unlabelled\.method takes no mixing of clips"),
        (("pretrain.method=contrastive", "data.label_fraction=0.5"), "as it uses no label"),
        (("data.label_fraction=0.05",), r"data\.label_fraction=0\.05: labelled would lack"),
    ],
)
def test_what_contradicts_itself_is_refused(recipe: Recipe, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        resolve(recipe.override(*overrides), read_data(recipe.data))


def test_other_runs_start_from_a_pre_trained_one(
    recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="kinesphere.train"):
        begun = train(recipe.override("pretrain.method=contrastive", "train.epochs=1"), console=quiet())
    assert begun.report is None
    assert re.search(r"pre-training \(contrastive\): \d+ clips to learn from, \d+ kept away", caplog.text)
    assert "runs start from it with model.pretrained=" in _without_score(begun.recipe, begun.folder)
    model = load_model(begun.files.model)
    assert model.labels.names == ("unlabelled",)
    tuned, parts = resolve(
        recipe.override(f"model.pretrained={begun.folder}", f"out={tmp_path / 'tuned'}"),
        read_data(recipe.data),
    )
    start = trainer.build_recogniser(tuned, parts.train)
    assert start.labels.names == ("bright", "dark", "striped")
    assert start.reset == ("fc.bias", "fc.weight")
    learnt = SplitTable.read(begun.files.splits)
    assert {sample.id for sample in parts.test or ()} == {row.id for row in learnt if row.part == "test"}


def test_two_views_are_contrasted_without_dropout_and_the_kept_model_has_its_own() -> None:
    recogniser = create_model("dd_net_tiny", ["a", "b"])
    rest = (F.cross_entropy, OptimizerSection(), ScheduleSection(), Length(1, 1, 1))
    task = ContrastiveTask(PretrainSection(method="contrastive"), recogniser, *rest).train()
    spec = recogniser.specs[0]
    clips = torch.rand(4, spec.sampling.length, spec.people, 17, 3)

    def answers(model: Recogniser) -> bool:
        return torch.equal(model(clips), model(clips))

    assert answers(task.recogniser)
    assert not answers(recogniser.train())
    assert not answers(task.scored.train())
    first = task.extra(task.recogniser(clips))
    assert torch.equal(first, task.extra(task.recogniser(clips)))
    assert any(isinstance(layer, torch.nn.BatchNorm1d) for layer in task.extra)


def test_masked_tubes_are_of_videomae(recipe: Recipe) -> None:
    with pytest.raises(InvalidSetting, match="fc_tiny does not leave masked tubes out"):
        train(recipe.override("pretrain.method=masked_tubes"), console=quiet())


def test_samples_without_label_have_no_target(videos: Path) -> None:
    found = Manifest.read(videos)
    samples = tuple(Sample(each.id, each.path, ()) for each in found)
    data = TwoViews(Manifest(samples, found.labels, found.root), create_model("fc_tiny", ["a", "b"]).specs,
                    weak=Augment(preset="none"), strong=Augment(preset="none"))  # fmt: skip
    item = data[0]
    assert isinstance(item, Item)
    assert item.target == -1
