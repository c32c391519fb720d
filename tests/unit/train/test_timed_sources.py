"""Recordings with timed labels as the data of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kinesphere.apps.cli.main import app
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.train.recipe import Recipe
from kinesphere.train.resolve import read_data, resolve


@pytest.fixture
def recordings(tmp_path: Path, elan: Callable[..., str]) -> Path:
    """Four recordings of 20 s in poses, each walking and then running."""
    for number, name in enumerate("abcd"):
        poses = Poses(
            np.arange(40) / 2, np.full((40, 1, 17, 2), number, np.float32), np.ones((40, 1, 17), np.float32),
            np.array([0]), "coco17", (48, 64), fps=2.0,
        )  # fmt: skip
        write_poses(poses, tmp_path / f"{name}.pose.npz")
        tiers = {"base": [("walk", 0, 10000), ("run", 10000, 20000)], "effort": [("strong", 0, 9000)]}
        (tmp_path / f"{name}.eaf").write_text(elan(tiers))
    return tmp_path


def test_a_recipe_reads_elan_files_by_tier(recordings: Path) -> None:
    recipe = Recipe.load(
        f"{recordings}/*.eaf", ["data.tier=base", "data.window.stride_s=10", "data.labels=[walk, run]"]
    )
    manifest = read_data(recipe.data)

    assert manifest.counts() == {"walk": 4, "run": 4}
    resolved, parts = resolve(recipe, manifest)
    assert resolved.out is not None
    assert Path(resolved.out).name.startswith(f"{recordings.name}-")
    assert [len(part) for part in (parts.train, parts.val, parts.test) if part] == [4, 2, 2]
    assert read_data(resolved.data).counts() == manifest.counts()
    assert Recipe.build({"data": {"source": "x"}}).override("data.window.last=drop").data.window is not None


@pytest.mark.parametrize("pattern", ["*.eaf", "../*.v2/*.eaf", "../**/*.eaf"])
def test_a_pattern_may_stand_anywhere_in_a_path(recordings: Path, pattern: str) -> None:
    folder = recordings / "out.v2"
    folder.mkdir()
    for file in (*recordings.glob("*.eaf"), *recordings.glob("*.npz")):
        file.rename(folder / file.name)
    recipe = Recipe.load(f"{folder}/{pattern}", ["data.tier=base", "data.window.stride_s=10"])
    resolved, _ = resolve(recipe, read_data(recipe.data))
    assert resolved.out is not None
    name = "out.v2" if pattern == "*.eaf" else recordings.name
    assert Path(resolved.out).name.startswith(f"{name}-")
    with pytest.raises(InvalidSetting, match=r"There is no recipe, run folder or data at .*\*\.txt"):
        Recipe.load(f"{folder}/../*.v2/*.txt")


def test_labels_that_are_not_among_those_of_the_recipe_are_answered(recordings: Path) -> None:
    recipe = Recipe.load(str(recordings), ["data.tier=base", "data.labels=[walk, runn]"])
    with pytest.raises(InvalidAnnotation, match=r"'run' \(4 annotations\); did you mean 'runn'\?"):
        read_data(recipe.data)


def test_a_misspelt_key_of_windows_is_answered(recordings: Path) -> None:
    with pytest.raises(
        InvalidSetting, match=r"no setting 'data\.window\.length' \(did you mean data\.window\.length_s"
    ):
        Recipe.load(str(recordings), ["data.window.length=3"])


def test_windows_that_leave_gaps_are_refused(recordings: Path) -> None:
    recipe = Recipe.load(str(recordings), ["data.tier=base", "data.window.stride_s=20"])
    with pytest.raises(InvalidSetting, match="would leave gaps"):
        read_data(recipe.data)


def test_check_looks_at_recordings_as_windows(recordings: Path) -> None:
    """Windows overlap by their rule, so neighbours of other labels are no contradiction."""
    found = CliRunner().invoke(app, ["check", str(recordings), "--tier", "base"])

    assert "Windows of 10 s every 5 s; the label with the largest overlap" in found.stdout
    assert "12 windows of 4 recordings; left out are 0 windows" in found.stdout
    assert "share time" not in found.stdout
    assert "duplicate" not in found.stdout
