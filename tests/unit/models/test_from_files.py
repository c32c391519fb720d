"""Import of one file or several: what belongs together is checked before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.models.weights.from_files import import_files, read_names


def test_what_does_not_belong_together_is_refused() -> None:
    one, two = [Path("a.pth")], [Path("a.pth"), Path("b.pth")]
    with pytest.raises(InvalidSetting, match="--inflation is for weights of images; add --backbone"):
        import_files(one, "r3d_18", inflation="mean")
    with pytest.raises(InvalidSetting, match="A backbone has no classes; give those to learn with --labels"):
        import_files(one, "r3d_18", backbone=True)
    with pytest.raises(InvalidSetting, match="r3d_18 is read from one file; got 2"):
        import_files(two, "r3d_18")
    with pytest.raises(
        InvalidSetting, match="is read from two files, first the pixels', then the flow's; got 1"
    ):
        import_files(one, "two_stream_i3d")


def test_names_of_classes_are_lines_of_text(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("\ufeffwalk\n\n  sit down \n", encoding="utf-8")
    assert read_names(path) == ["walk", "sit down"]
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidSetting, match=r"Cannot read the labels in .*names\.txt: 'utf-8' codec"):
        read_names(path)
    with pytest.raises(InvalidSetting, match="No such file"):
        read_names(tmp_path / "none.txt")
