"""What lies in a run folder, and what others put there."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinesphere.core.errors import InvalidSetting, UnwritableFile
from kinesphere.train import Recipe
from kinesphere.train.run import Run
from kinesphere.train.run_folder import RunFiles


@pytest.mark.parametrize("content", [b"path,reason\n\x80,x\n", b"file,why\na,b\n"])
def test_a_damaged_table_of_unreadable_files_is_refused(
    tmp_path: Path, recipe: Recipe, content: bytes
) -> None:
    run = Run(tmp_path, recipe, None)
    assert run.unreadable == ()
    run.files.unreadable.write_text("path,reason\na.mp4,empty\n", encoding="utf-8")
    assert run.unreadable == ("a.mp4",)
    run.files.unreadable.write_bytes(content)
    with pytest.raises(InvalidSetting, match=r"unreadable\.csv is not the table that training writes"):
        _ = run.unreadable


def test_a_folder_in_the_place_of_a_report_is_named(tmp_path: Path) -> None:
    files = RunFiles(tmp_path)
    files.clear_scores()
    files.report.mkdir()
    with pytest.raises(UnwritableFile, match=r"report\.json cannot be written: Is a directory"):
        files.clear_scores()
