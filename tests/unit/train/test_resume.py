"""What may go on in a folder: the same run, on the same data, one at a time."""

from __future__ import annotations

import io
import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from kinesphere.core.errors import (
    InUse,
    InvalidCheckpoint,
    InvalidManifest,
    InvalidSetting,
    TooManyFailures,
    UnwritableFile,
)
from kinesphere.core.files import claiming
from kinesphere.train import Recipe, cross_validate, open_run, train, trainer
from kinesphere.train.fusion import validation_predictions
from kinesphere.train.history import read_history
from kinesphere.train.resolve import read_data
from kinesphere.train.run_folder import RunFiles
from kinesphere.train.splits_csv import SplitTable


def quiet() -> Console:
    return Console(file=io.StringIO())


@pytest.fixture
def own(videos: Path, tmp_path: Path, recipe: Recipe) -> Recipe:
    """A recipe on a copy of the videos, which a test may change."""
    shutil.copytree(videos, tmp_path / "videos")
    return recipe.override(f"data.source={tmp_path / 'videos'}", "train.epochs=1")


class At(pl.Callback):
    """Does something after the first batch of an epoch."""

    def __init__(self, epoch: int, act: object) -> None:
        self.epoch, self.act = epoch, act

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        if trainer.current_epoch == self.epoch:
            self.act()  # type: ignore[operator]


def during(monkeypatch: pytest.MonkeyPatch, epoch: int, act: object) -> None:
    original = trainer._callbacks
    monkeypatch.setattr(trainer, "_callbacks", lambda *a: [*original(*a), At(epoch, act)])


def stop_in(monkeypatch: pytest.MonkeyPatch, recipe: Recipe, epoch: int, *overrides: str) -> None:
    """Train until a Ctrl-C in an epoch."""
    with monkeypatch.context() as patch:
        during(patch, epoch, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            train(recipe.override(*overrides), console=quiet())


def load(folder: Path) -> list[dict[str, torch.Tensor]]:
    """The last weights and the best."""
    files = RunFiles(folder)
    return [load_file(files.last), load_file(files.model)]


def same(one: Path, other: Path) -> bool:
    pairs = zip(load(one), load(other), strict=True)
    return all(torch.equal(a[key], b[key]) for a, b in pairs for key in a)


def rename_a_class(videos: Path) -> None:
    (videos / "bright").rename(videos / "a class before all others")


def add_a_class(videos: Path) -> None:
    shutil.copytree(videos / "dark", videos / "darker")


def add_files(videos: Path) -> None:
    for number in range(4):
        shutil.copy(videos / "dark" / f"{number}.mp4", videos / "dark" / f"more{number}.mp4")


def take_files(videos: Path) -> None:
    (videos / "dark" / "3.mp4").unlink()


def replace_content(videos: Path) -> None:
    shutil.copy(videos / "dark" / "3.mp4", videos / "dark" / "4.mp4")


CHANGES = {
    rename_a_class: "8 samples new .*8 samples gone",
    add_a_class: "8 samples new",
    add_files: r"4 samples new \(dark/more0",
    take_files: r"1 samples gone \(dark/3",
    replace_content: r"1 samples in files of other content \(dark/4",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("finished", [True, False])
def test_other_data_are_refused_and_named(
    own: Recipe, change: object, finished: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if finished:
        train(own, console=quiet())
    else:
        stop_in(monkeypatch, own, 1, "train.epochs=2")
        own = own.override("train.epochs=2")
    change(tmp_path / "videos")  # type: ignore[operator]
    with pytest.raises(
        InvalidSetting, match=f"data are not those that the run .* begun with: .*{CHANGES[change]}"
    ):  # type: ignore[index]
        train(own, resume=True, console=quiet())


def test_other_data_are_named_before_what_they_lack(own: Recipe, tmp_path: Path) -> None:
    files = RunFiles(Path(str(own.out)))
    manifest = read_data(own.data)
    files.folder.mkdir()
    SplitTable.of(manifest, {sample.id: "train" for sample in manifest}).write(files.splits)
    shutil.rmtree(tmp_path / "videos" / "striped")
    with pytest.raises(InvalidSetting, match=r"data are not those that the run .*: 8 samples gone"):
        train(own.override("data.val=valid"), resume=True, console=quiet())
    with pytest.raises(InvalidManifest, match="No sample has split 'valid'"):
        train(own.override("data.val=valid"), console=quiet())


def test_data_may_move(own: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(own.override("train.epochs=2", f"out={tmp_path / 'whole'}"), console=quiet())
    stop_in(monkeypatch, own, 1, "train.epochs=2")
    (tmp_path / "videos").rename(tmp_path / "elsewhere")
    moved = own.override("train.epochs=2", f"data.source={tmp_path / 'elsewhere'}")
    assert same(whole.folder, train(moved, resume=True, console=quiet()).folder)


@pytest.mark.slow
def test_a_folder_that_is_named_is_the_run_wherever_it_lies(
    own: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(own.override("train.epochs=2", f"out={tmp_path / 'whole'}"), console=quiet())
    stop_in(monkeypatch, own, 1, "train.epochs=2")
    first = Path(str(own.out))
    shutil.copytree(first, tmp_path / "copy")
    shutil.copytree(first, tmp_path / "by recipe")
    shutil.move(first, tmp_path / "moved")
    for source in ("copy", "moved", "by recipe/recipe.yaml"):
        run = train(Recipe.load(tmp_path / source), resume=True, console=quiet())
        assert run.folder == (tmp_path / source.partition("/")[0]).resolve()
        assert same(whole.folder, run.folder)
    assert not first.exists()


def test_a_recipe_of_ones_own_keeps_its_out(own: Recipe, tmp_path: Path) -> None:
    own.dump(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml").out == own.out


def test_a_start_that_fails_claims_nothing(
    own: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(str(own.out))
    for wrong in ("schedule.warmup_epochs=9", "model.arguments={no_such: 1}"):
        with pytest.raises(Exception, match=r"warm-up|no_such"):
            train(own.override(wrong), console=quiet())
        assert not folder.exists()
    with monkeypatch.context() as patch:
        during(patch, 0, lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(own.override("log.tensorboard=true"), console=quiet())
    assert not folder.exists()
    files = RunFiles(folder)
    own.override("optimizer.lr=0.5").dump(files.recipe)  # left by one that was killed
    run = train(own, console=quiet())
    assert open_run(run.folder).recipe.optimizer.lr == 0.001


def test_a_start_that_failed_on_its_files_leaves_their_list_and_can_be_corrected(
    own: Recipe, tmp_path: Path
) -> None:
    for number in range(4):
        (tmp_path / "videos" / "dark" / f"{number}.mp4").write_bytes(b"no video %d" % number)
    with pytest.raises(TooManyFailures, match=r"listed in .*unreadable\.csv"):
        train(own.override("data.max_unreadable=0.01"), console=quiet())
    assert [path.name for path in Path(str(own.out)).iterdir()] == ["unreadable.csv"]
    train(own.override("data.max_unreadable=0.9"), console=quiet())


def test_a_finished_run_says_so(own: Recipe, caplog: pytest.LogCaptureFixture) -> None:
    train(own, console=quiet())
    with caplog.at_level(logging.INFO, "kinesphere.train"):
        again = train(own, resume=True, console=quiet())
    assert "is finished; there is nothing left to do" in caplog.text
    assert again.report is not None


@pytest.mark.slow
def test_a_run_may_be_made_longer(own: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = own.override("schedule.name=constant", "train.ema=0.9")
    whole = train(own.override("train.epochs=4", f"out={tmp_path / 'whole'}"), console=quiet())
    train(own.override("train.epochs=2"), console=quiet())
    with caplog.at_level(logging.INFO, "kinesphere.train"):
        longer = train(own.override("train.epochs=4"), resume=True, console=quiet())
    assert "Settings changed (now / then): train.epochs: 4 / 2. The learning rate follows" in caplog.text
    assert same(whole.folder, longer.folder)
    assert longer.report is not None
    assert len(read_history(longer.files.metrics)) == 4
    with pytest.raises(InvalidSetting, match=r"train\.epochs: 3 / 4\. Epochs may be raised, not lowered\."):
        train(own.override("train.epochs=3"), resume=True, console=quiet())


@pytest.mark.slow
def test_the_rate_follows_the_new_length(own: Recipe, tmp_path: Path) -> None:
    own = own.override("schedule.name=cosine", "schedule.floor=0.0")
    whole = train(own.override("train.epochs=4", f"out={tmp_path / 'whole'}"), console=quiet())
    train(own.override("train.epochs=2"), console=quiet())
    longer = train(own.override("train.epochs=4"), resume=True, console=quiet())
    rates = [[row["lr"] for row in read_history(run.files.metrics)] for run in (whole, longer)]
    assert len(rates[1]) == 4
    assert rates[0][2:] == rates[1][2:]
    assert rates[1][2] > rates[1][1]


def test_scores_of_the_shorter_run_go_while_it_becomes_longer(
    own: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(own, console=quiet())
    during(monkeypatch, 1, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(own.override("train.epochs=3"), resume=True, console=quiet())
    assert not run.files.report.exists()
    assert not run.files.predictions.exists()


def test_an_early_stopped_run_is_not_made_longer_by_more_epochs(own: Recipe) -> None:
    own = own.override("train.early_stopping=1", "train.epochs=20", "optimizer.lr=1e-9", "train.monitor=top1")
    train(own, console=quiet())
    with pytest.raises(InvalidSetting, match=r"ended by train\.early_stopping, not by its length"):
        train(own.override("train.epochs=30"), resume=True, console=quiet())


def test_weights_without_a_state_are_not_trained_over(own: Recipe) -> None:
    run = train(own, console=quiet())
    run.files.state.unlink()
    run.files.report.unlink()
    with pytest.raises(InvalidSetting, match=r"checkpoints/state\.ckpt is gone"):
        train(own, resume=True, console=quiet())
    run.files.recipe.unlink()
    with pytest.raises(InvalidSetting, match=r"holds a model or a report, but no recipe\.yaml"):
        train(own, resume=True, console=quiet())


def test_the_last_epoch_is_validated_whatever_the_interval(own: Recipe) -> None:
    run = train(own.override("train.epochs=3", "train.validate_every=2"), console=quiet())
    measured = [row["val_loss"] is not None for row in read_history(run.files.metrics)]
    assert measured == [False, True, True]


@pytest.mark.slow
def test_one_training_at_a_time(own: Recipe) -> None:
    folder = Path(str(own.out))
    folder.mkdir()
    with claiming(folder / ".lock", "it"):
        program = "import sys; from kinesphere.train import Recipe, train; train(Recipe.load(sys.argv[1]))"
        own.dump(folder.parent / "own.yaml")
        other = subprocess.run(
            [sys.executable, "-c", program, folder.parent / "own.yaml"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert other.returncode
    assert f"InUse: The run folder {folder} is in use by another process" in other.stderr
    assert not list(folder.iterdir())


def test_what_a_living_process_writes_stays(own: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def second() -> None:
        with pytest.raises(InUse):
            train(own, console=quiet())
        found.append(True)

    during(monkeypatch, 0, second)
    train(own, console=quiet())
    assert found


def test_leftovers_go_at_the_next_start(own: Recipe) -> None:
    folder = Path(str(own.out))
    for name in (".kinesphere-x/model.safetensors", ".tmpA1b2C3", "checkpoints/.tmpZ", "abc.part"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("half")
    train(own, console=quiet())
    names = {path.name for path in folder.rglob("*")}
    assert not {name for name in names if name.startswith((".tmp", ".kine", "abc"))}


def test_a_folder_that_cannot_be_made_says_why(own: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out, words in (
        (tmp_path / "file" / "run", "a file lies where"),
        (tmp_path / ("n" * 300), "too long"),
    ):
        with pytest.raises(UnwritableFile, match=words):
            train(own.override(f"out={out}"), console=quiet())


def folded(own: Recipe) -> Recipe:
    return own.override("data.val=auto", "data.test=auto")


@pytest.mark.slow
def test_cross_validations_are_resumed_with_their_own_settings_data_and_folds(
    own: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = folded(own)
    done = cross_validate(own, 3, console=quiet())
    for settings, folds, words in (
        ((), 4, "begun with folds 3, not 4"),
        (("optimizer.lr=0.5",), 3, "other settings .*optimizer.lr: 0.5 / 0.001"),
        (("model.name=r3d_tiny",), 3, "other settings .*model.name: 'r3d_tiny' / 'fc_tiny'"),
        (("train.seed=1",), 3, "other settings .*train.seed: 1 / 0"),
    ):
        with pytest.raises(InvalidSetting, match=words):
            cross_validate(own.override(*settings), folds, resume=True, console=quiet())
    with pytest.raises(InvalidSetting, match="holds a cross-validation; resume it as one"):
        train(own, resume=True, console=quiet())
    add_files(tmp_path / "videos")
    with pytest.raises(InvalidSetting, match=r"data are not those that the run in .*fold-1 .*4 samples new"):
        cross_validate(own, 3, resume=True, console=quiet())
    assert RunFiles(done.folder).report.is_file()


@pytest.mark.slow
def test_a_cross_validation_that_has_moved_goes_on_where_it_lies(own: Recipe, tmp_path: Path) -> None:
    done = cross_validate(folded(own), 2, console=quiet())
    shutil.move(done.folder, tmp_path / "moved")
    RunFiles(tmp_path / "moved" / "fold-2").report.unlink()
    recipe = Recipe.load(tmp_path / "moved")
    again = cross_validate(recipe, 2, resume=True, console=quiet())
    assert again.folder == (tmp_path / "moved").resolve()
    assert again.report.scores["top1"] == done.report.scores["top1"]
    assert not done.folder.exists()


def test_a_cross_validation_that_failed_at_its_start_claims_nothing(own: Recipe) -> None:
    own = folded(own)
    with pytest.raises(InvalidSetting, match="warm-up"):
        cross_validate(own.override("schedule.warmup_epochs=9"), 2, console=quiet())
    assert not Path(str(own.out)).exists()


def test_weights_of_a_fusion_are_not_learned_on_other_data(own: Recipe, videos: Path, tmp_path: Path) -> None:
    runs = [
        train(own.override(f"out={tmp_path / name}", f"train.seed={seed}", "train.epochs=1"), console=quiet())
        for seed, name in enumerate("ab")
    ]
    add_files(Path(own.data.source[0]))
    with pytest.raises(InvalidSetting, match="The data are not those"):
        validation_predictions(runs[0].files)


@pytest.mark.slow
def test_the_weights_at_the_start_are_found_from_any_folder(
    own: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train(own.override("out=base", "train.epochs=1"), console=quiet())
    run = train(own.override("out=next", "train.epochs=1", "model.pretrained=base"), console=quiet())
    text = run.files.recipe.read_text()
    assert run.recipe.model.pretrained == str(tmp_path / "base")
    # A recipe of before names them as they were typed.
    run.files.recipe.write_text(text.replace(str(tmp_path / "base"), "base"))
    train(Recipe.load(run.folder, ["train.epochs=2"]), resume=True, console=quiet())
    monkeypatch.chdir("/")
    train(Recipe.load(run.folder, ["train.epochs=3"]), resume=True, console=quiet())
    assert len(read_history(run.files.metrics)) == 3


def test_a_state_with_former_names_of_metrics_is_gone_on_from(own: Recipe) -> None:
    run = train(
        own.override("train.epochs=1", "train.monitor=macro_f1", "train.early_stopping=3"), console=quiet()
    )
    state = torch.load(run.files.state, weights_only=True)
    state["training_tally"] = state.pop("training_metrics")[0]
    former = {"val_mean_class_accuracy": "val_mean_class", "val_macro_f1": "val_f1"}
    callbacks = state["callbacks"]
    rows = callbacks["History"]["rows"]
    callbacks["History"]["rows"] = [{former.get(key, key): v for key, v in row.items()} for row in rows]
    now = next(name for name in callbacks if name.startswith("EarlyStopping"))
    callbacks[now.replace("macro_f1", "f1")] = {**callbacks.pop(now), "best_score": torch.tensor(2.0)}
    torch.save(state, run.files.state)
    run.files.recipe.write_text(run.files.recipe.read_text().replace("monitor: macro_f1", "monitor: f1"))
    before = read_history(run.files.metrics)
    longer = train(Recipe.load(run.folder, ["train.epochs=3"]), resume=True, console=quiet())
    after = read_history(longer.files.metrics)
    assert len(after) == 3
    assert after[:1] == before
    # What no validation can reach was kept, and counted against two more.
    stopping = torch.load(run.files.state, weights_only=True)["callbacks"][now]
    assert (stopping["best_score"], stopping["wait_count"]) == (2, 2)


def test_a_run_that_was_begun_with_other_metrics_is_refused(own: Recipe) -> None:
    run = train(own.override("train.epochs=1"), console=quiet())
    state = torch.load(run.files.state, weights_only=True)
    state["training_metrics"] = torch.cat([state["training_metrics"], torch.zeros(1, 1)], dim=1)
    torch.save(state, run.files.state)
    with pytest.raises(InvalidCheckpoint, match="begun with other metrics of training: its state holds"):
        train(Recipe.load(run.folder, ["train.epochs=2"]), resume=True, console=quiet())
