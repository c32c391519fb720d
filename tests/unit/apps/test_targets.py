from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.apps.cli.targets import several_targets, targets
from kinesphere.core.errors import InvalidSetting, UnwritableFile

NAMES = st.sampled_from(["a", "A", "a.mp4", "b", "a-2"])
SUFFIXES = (".csv", ".json")


@given(
    st.lists(st.builds("{}/{}{}".format, NAMES, NAMES, st.sampled_from([".mp4", ".avi", ""])), unique=True)
)
def test_no_two_videos_have_one_target(sources: list[str]) -> None:
    addresses = [f"http://host{i}/x/clip.mp4?part={i}" for i in range(4)]
    chosen = targets("--segments", Path("out"), [*sources, *addresses], SUFFIXES)
    assert list(chosen) == [*sources, *addresses]
    assert len({str(target).casefold() for target in chosen.values()}) == len(chosen)
    assert all(target.suffix == ".csv" for target in chosen.values())


def test_files_of_several_kinds_and_folders_of_one_kind() -> None:
    both = several_targets("--segments", [Path("x/a.json"), Path("b.csv")], ["a.mp4"], SUFFIXES)
    assert both == {"a.mp4": (Path("x/a.json"), Path("b.csv"))}
    folder = several_targets(
        "--segments", [Path("out"), Path("out/*.json")], ["v/a.mp4", "v/b.mp4"], SUFFIXES
    )
    assert folder["v/b.mp4"] == (Path("out/b.csv"), Path("out/b.json"))
    assert several_targets("--segments", [], ["a.mp4"], SUFFIXES) == {}
    with pytest.raises(InvalidSetting, match=r"names a\.csv twice; name a file of each kind once"):
        several_targets("--segments", [Path("a.csv"), Path("a.csv")], ["a.mp4"], SUFFIXES)
    with pytest.raises(InvalidSetting, match=r"names a \.csv or \.json file; got 'out/video\.svg'"):
        several_targets("--segments", [Path("out/*.svg")], ["a.mp4"], SUFFIXES)


def test_names_say_which_video_they_belong_to() -> None:
    chosen = targets("--segments", Path("out"), ["v/x/a.mp4", "v/y/a.mp4", "v/y/a.avi"], SUFFIXES)
    assert [str(target) for target in chosen.values()] == ["out/x/a.csv", "out/y/a.csv", "out/y/a.avi.csv"]
    alike = targets("--segments", Path("out"), [f"http://{host}/clip.mp4" for host in "xyz"], SUFFIXES)
    assert [target.name for target in alike.values()] == ["clip.csv", "clip.mp4.csv", "clip.mp4-2.csv"]


@pytest.mark.parametrize(
    ("place", "sources", "problem"),
    [
        ("said.txt", ["a.mp4"], r"--segments names a .csv or .json file; got 'said.txt'"),
        ("said.csv", ["a.mp4", "b.mp4"], "is one file, but there are 2 videos; name a folder"),
    ],
)
def test_what_cannot_be_written_is_refused(place: str, sources: list[str], problem: str) -> None:
    with pytest.raises(InvalidSetting, match=problem):
        targets("--segments", Path(place), sources, SUFFIXES)


def test_a_file_is_no_folder_and_a_folder_may_have_a_dot(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSetting, match="is a file"):
        targets("--segments", tmp_path / "file", ["a.mp4"], SUFFIXES)
    (tmp_path / "results.v2").mkdir()
    chosen = targets("--segments", tmp_path / "results.v2", ["a.mp4", "b.mp4"], SUFFIXES)
    assert chosen["b.mp4"] == tmp_path / "results.v2" / "b.csv"


def test_a_video_is_never_overwritten(tmp_path: Path) -> None:
    videos = [str(tmp_path / name) for name in ("a.mp4", "b.avi")]
    with pytest.raises(InvalidSetting, match=r"--annotate would overwrite .*a\.mp4 itself"):
        targets("--annotate", tmp_path, videos, (".mp4",))


def test_a_place_that_takes_no_files_is_refused_and_one_that_does_is_left_as_it_is(tmp_path: Path) -> None:
    for place in ("/proc/x.csv", "/proc/folder/below"):
        with pytest.raises(UnwritableFile, match=f"^{place} cannot be written"):
            targets("--segments", Path(place), ["a.mp4"], SUFFIXES)
    targets("--segments", tmp_path / "new" / "said.csv", ["a.mp4"], SUFFIXES)
    targets("--segments", tmp_path / "new" / "folder", ["a.mp4", "b.mp4"], SUFFIXES)
    assert not list(tmp_path.iterdir())
