"""Names that no file can have, and links that lead in a circle, are no errors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kinesphere.core.paths import is_file, is_folder, is_there, real_path


@pytest.mark.parametrize("name", ["loop", "loop/inner", "a" * 300, "a\0b", "file/inner"])
def test_what_cannot_be_there_is_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_bytes(b"x")
    path = tmp_path / name
    assert not is_file(path)
    assert not is_folder(path)
    assert not is_there(path)
    assert real_path(path).name == path.name


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("folder")
    assert is_folder(tmp_path / "link")
    assert is_file(tmp_path / "link" / "file")
    assert is_there(tmp_path / "link" / "file")
    assert real_path(tmp_path / "link" / "file") == Path(os.path.realpath(tmp_path)) / "folder" / "file"
