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
    with pytest.raises(InvalidSetting, match="larger than 4 MB"):
        read_names(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("classInd.txt", "1 walk\n2 sit down\n", ["walk", "sit down"]),
        ("map.txt", "2,walk\n0,sit down\n1,kick, high\n", ["sit down", "kick, high", "walk"]),
        ("names.txt", "100 m run\n3 steps\n", ["100 m run", "3 steps"]),
        ("id2label.json", '{"1": "walk", "0": "sit"}', ["sit", "walk"]),
    ],
)
def test_numbers_of_names_are_their_order(tmp_path: Path, name: str, text: str, names: list[str]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_names(tmp_path / name) == names


def test_lists_without_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text('{"lr": 3}')
    (tmp_path / "none.txt").write_text("\n")
    for path in tmp_path.iterdir():
        with pytest.raises(InvalidSetting, match="lists no names of classes; write one a line"):
            read_names(path)
