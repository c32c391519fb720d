from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kinesphere.apps.cli.main import app
from kinesphere.core.errors import InvalidSetting
from kinesphere.train.recipe import Recipe
from kinesphere.train.run_list import list_runs


def a_run(folder: Path, *overrides: str, changed: int) -> Path:
    folder.mkdir(parents=True)
    Recipe.build({"data": {"source": "clips.csv"}}).override(*overrides).dump(folder / "recipe.yaml")
    os.utime(folder / "recipe.yaml", (changed, changed))
    return folder


def test_runs_are_listed_newest_first_and_folds_belong_to_their_run(tmp_path: Path) -> None:
    a_run(tmp_path / "old", "model.name=r3d_18", changed=1_000)
    new = a_run(tmp_path / "deep" / "new", "model.name=kine_small", "model.pretrained=basic", changed=2_000)
    a_run(new / "fold-1", changed=3_000)
    (new / "fold-1" / "model.safetensors").touch()
    (new / "fold-1" / "metrics.csv").write_text("epoch,loss\n1,0.5\n2,0.4\n")
    runs, unreadable = list_runs(tmp_path)
    assert [run.folder.name for run in runs] == ["new", "old"]
    assert [(run.model, run.pretrained, run.folds, run.epochs) for run in runs] == [
        ("kine_small", "basic", 1, 2), ("r3d_18", None, 0, 0),
    ]  # fmt: skip
    assert runs[0].data == ("clips.csv",)
    assert not unreadable
    plain = runs[0].to_json()
    assert (plain["finished"], plain["scores"], plain["clips"]) == (False, {}, None)


@pytest.mark.parametrize(
    ("overrides", "finished"),
    [
        (("train.epochs=2",), True), (("train.steps=8",), True), (("train.epochs=3",), False),
        (("train.steps=9",), False), (("train.epochs=2", "data.test=0.2"), False),
        (("train.steps=8", "data.test=0.2", "pretrain.method=contrastive"), True),
    ],
)  # fmt: skip
def test_runs_that_hold_nothing_out_are_finished_without_a_report(
    tmp_path: Path, overrides: tuple[str, ...], finished: bool
) -> None:
    run = a_run(tmp_path / "whole", "data.val=0", "data.test=0", *overrides, changed=1_000)
    (run / "metrics.csv").write_text("epoch,step,train_loss\n1,4,0.5\n2,8,0.4\n")
    ((listed,), _) = list_runs(tmp_path)
    assert (listed.unscored, listed.to_json()["finished"]) == (finished, finished)
    shown = CliRunner().invoke(app, ["runs", str(tmp_path)])
    words = " ".join(shown.stdout.replace("│", " ").split())
    assert ("not finished" in words) != finished, shown.stdout
    why = "pre-training has no score" if listed.pretrains else "nothing was held out"
    assert (why in words) == finished


def test_damaged_runs_are_named_and_hide_none(tmp_path: Path) -> None:
    a_run(tmp_path / "whole", changed=1_000)
    (a_run(tmp_path / "torn", changed=2_000) / "report.json").write_text("{")
    runs, unreadable = list_runs(tmp_path)
    assert [run.folder.name for run in runs] == ["whole"]
    (torn,) = unreadable
    assert torn.path.endswith("torn")
    assert "Cannot read a report" in torn.reason


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"There is no folder '.*nowhere' to look for runs in"):
        list_runs(tmp_path / "nowhere")
