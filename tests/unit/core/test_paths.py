"""Names that no file can have, and links that lead in a circle, are no errors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kinesphere.core.errors import MissingWeights, UnreadableVideo
from kinesphere.core.paths import is_barred, is_file, is_folder, is_there, real_path, why_absent
from kinesphere.models.create import load_model
from kinesphere.video import Video


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


def test_what_lies_in_a_folder_that_may_not_be_entered_is_told_from_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert why_absent(tmp_path / "a.mp4") == f"{tmp_path / 'a.mp4'} does not exist; check the path."
    assert not is_barred(tmp_path / ("a" * 300))
    enter = os.stat

    def bar(path: object, *args: object, **kwargs: object) -> os.stat_result:
        if str(path).endswith("b.mp4"):
            raise PermissionError
        return enter(path, *args, **kwargs)  # type: ignore[arg-type, call-overload, no-any-return]

    monkeypatch.setattr(os, "stat", bar)
    assert "b.mp4 lies in a folder that may not be entered; copy it, or ask" in why_absent(tmp_path / "b.mp4")
    with pytest.raises(UnreadableVideo, match=r"b\.mp4 lies in a folder that may not be entered"):
        Video.open(tmp_path / "b.mp4")
    with pytest.raises(MissingWeights, match="lies in a folder that may not be entered"):
        load_model(tmp_path / "b.mp4")
