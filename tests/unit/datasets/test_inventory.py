"""What of a data set a folder holds: its official lists against the files that are there."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from kinesphere.apps.cli.main import app
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.skipped import Skipped
from kinesphere.data import Manifest
from kinesphere.data.catalogue import DATASETS
from kinesphere.data.inventory import Inventory, take_inventory
from kinesphere.data.media import SetFolder
from kinesphere.data.official import Entry, Origin
from kinesphere.datasets.example_videos import write_frames, write_videos

WATCH = "https://www.youtube.com/watch?v="


def cut(video: str, start: float, end: float, label: str = "wave") -> Entry:
    """A clip of a list of URLs, by the name that downloaders give it."""
    return Entry(
        f"{video}_{int(start):06d}_{int(end):06d}",
        (label,),
        (("", "train"),),
        also=(f"{video}_{start}_{end}",),
        origin=Origin(f"{WATCH}{video}", video, (start, end)),
    )


def inventory(root: Path, *entries: Entry | Skipped, probe: bool = False) -> Inventory:
    def listed(folder: SetFolder) -> Iterable[Entry | Skipped]:
        return entries

    return take_inventory(listed, root, probe=probe)


def shown(found: Inventory) -> dict[str, str]:
    return dict(found.renamed)


def test_a_video_counts_wherever_and_however_it_lies_there(tmp_path: Path) -> None:
    write_videos(tmp_path, ["wave/a.avi", "b.MP4", "other/C.avi", "twice/d.mp4", "twice/d.avi", "e.webm"])
    write_frames(tmp_path, ["frames/f"])
    (tmp_path / ".hidden.avi").write_bytes(b"x")
    (tmp_path / "readme.txt").write_text("no video")
    names = ["wave/a.avi", "wave/b.avi", "wave/c.avi", "wave/d.avi", "wave/f.avi", "wave/g.avi"]
    found = inventory(tmp_path, *(Entry(name, ("wave",)) for name in names))
    assert found.sentence() == "5 of 6 videos present"
    assert found.missing == ("wave/g.avi",)
    assert shown(found) == {"wave/b.avi": "b.MP4", "wave/c.avi": "other/C.avi", "wave/f.avi": "frames/f"}
    assert {each.path: each.reason for each in found.extra} == {
        "e.webm": "on none of the lists",
        "twice/d.mp4": "another file of this name is used",
    }
    assert [sample.id for sample in found.samples] == ["a", "b", "c", "d", "f"]
    assert found.failures == 1


def test_the_file_at_its_very_place_is_taken_before_others_of_its_name(tmp_path: Path) -> None:
    write_videos(tmp_path, ["walk/a.avi", "wave/a.avi"])
    (tmp_path / "wave" / "b.avi").write_bytes(b"")
    write_videos(tmp_path, ["walk/b.mp4"])
    found = inventory(tmp_path, Entry("wave/a.avi", ("wave",)), Entry("wave/b.avi", ("wave",)))
    assert [sample.path.relative_to(tmp_path).as_posix() for sample in found.samples] == [
        "wave/a.avi",
        "walk/b.mp4",
    ]
    assert not found.unusable


def test_cut_clips_are_known_with_and_without_their_times(tmp_path: Path) -> None:
    write_videos(tmp_path, ["aaa_000003_000005.mp4", "bbb_3_5.mkv", "trimmed.mp4"], seconds=2)
    write_videos(tmp_path, ["uncut.mp4"], seconds=6)
    names = ("aaa", "bbb", "trimmed", "uncut", "gone")
    found = inventory(tmp_path, *(cut(name, 3, 5) for name in names))
    assert found.missing == ("gone_000003_000005",)
    spans = {sample.path.stem: sample.span for sample in found.samples}
    assert spans == {"aaa_000003_000005": None, "bbb_3_5": None, "trimmed": None, "uncut": (3, 5)}
    assert list(shown(found).values()) == ["bbb_3_5.mkv", "trimmed.mp4", "uncut.mp4"]


def test_dead_and_truncated_videos_are_counted(tmp_path: Path) -> None:
    write_videos(tmp_path, ["ends.mp4", "early_000000_000010.mp4", "short.mp4", "inside.mp4"], seconds=4)
    (tmp_path / "dead_000001_000002.mp4").write_bytes(b"<html>Video unavailable</html>")
    (tmp_path / "void_000001_000002.mp4").write_bytes(b"")
    spans = {"early": (0, 10), "ends": (5, 7), "short": (3, 9), "inside": (3, 5.5)}
    entries = [cut(name, *span) for name, span in spans.items()] + [
        cut(name, 1, 2) for name in ("dead", "void")
    ]
    seen = inventory(tmp_path, *entries)
    assert {each.path for each in seen.unusable} == {
        "void_000001_000002.mp4",
        "short_000003_000009",
        "inside_000003_000005",
        "ends_000005_000007",
    }
    found = inventory(tmp_path, *entries, probe=True)
    assert found.present == found.listed == 6
    reasons = {each.path: each.reason for each in found.unusable}
    assert reasons["void_000001_000002.mp4"] == "an empty file"
    assert "dead_000001_000002.mp4" in reasons["dead_000001_000002.mp4"]
    assert reasons["early_000000_000010"] == "cut short: its video ends at 4.0 s instead of 10 s"
    assert reasons["ends_000005_000007"] == "its video ends at 4.0 s, before 5 s"
    assert reasons["short_000003_000009"] == "cut short: its video ends at 4.0 s instead of 6 s"
    assert reasons["inside_000003_000005"] == "cut short: its video ends at 4.0 s instead of 5.5 s"
    assert {sample.id: sample.span for sample in found.samples} == {
        "early_000000_000010": None,
        "short_000003_000009": None,
        "inside_000003_000005": (3, 4.0),
    }
    assert found.present_parts == {"": {"train": 3}}


def test_clips_without_a_class_and_wrong_lines_are_counted(tmp_path: Path) -> None:
    write_videos(tmp_path, ["a.mp4", "b.mp4"])
    wrong = Skipped("list.txt, line 3", "'?' names no clip")
    entries = (Entry("a", ("wave",)), Entry("b", (), (("", "test"),)), Entry("a", ("walk",)), wrong)
    found = inventory(tmp_path, *entries)
    assert [sample.id for sample in found.samples] == ["a"]
    assert found.unlabelled == 1
    assert found.present_parts == {"": {"test": 1}}
    assert [each.path for each in found.wrong] == ["a", "list.txt, line 3"]
    assert found.failures == 2


def test_what_cannot_be_answered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidAnnotation, match="name no clip; the first line that is wrong, x: y"):
        inventory(tmp_path, Skipped("x", "y"))
    with pytest.raises(InvalidAnnotation, match="is no folder; give the one that holds the set's videos"):
        inventory(tmp_path / "none", Entry("a"))
    with pytest.raises(InvalidAnnotation, match=r"holds no clip .* 0 of 1 videos present"):
        inventory(tmp_path, Entry("a")).manifest()
    with pytest.raises(InvalidSetting, match="is no list of URLs; its card says"):
        inventory(tmp_path, Entry("a")).write_urls(tmp_path / "urls.csv")
    ucf101 = DATASETS.get("ucf101")
    with pytest.raises(InvalidAnnotation, match=r"none of the set's official lists .trainlist01.*--lists"):
        ucf101.inventory(tmp_path)
    with pytest.raises(InvalidAnnotation, match="There is no list at"):
        ucf101.inventory(tmp_path, lists=[tmp_path / "lists"])
    with pytest.raises(InvalidSetting, match="no protocol 'split4'; did you mean split"):
        ucf101.inventory(ucf101.write_example(tmp_path), protocol="split4")
    with pytest.raises(InvalidSetting, match="has no official lists; leave --lists, --prot"):
        DATASETS.get("utkinect").inventory(tmp_path, probe=True)


def test_missing_clips_become_a_list_for_a_downloader(tmp_path: Path) -> None:
    write_videos(tmp_path, ["aaa_000003_000005.mp4"])
    found = inventory(tmp_path, cut("aaa", 3, 5), cut("bbb", 10, 20, "walk"))
    found.write_urls(tmp_path / "urls.csv")
    with (tmp_path / "urls.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {
            "url": f"{WATCH}bbb",
            "start": "10",
            "end": "20",
            "name": "bbb_000010_000020",
            "label": "walk",
            "split": "train",
        }
    ]


def run(*words: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        app(list(words))
    assert ended.value.code == code


def test_the_command_says_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = DATASETS.get("ucf101").write_example(tmp_path)
    lists = tmp_path / "elsewhere"
    (root / "ucfTrainTestlist").rename(lists)
    (root / "UCF-101" / "Archery" / "v_Archery_g01_c01.avi").unlink()
    out = tmp_path / "split2.csv"
    run(
        "datasets", "ucf101", str(root / "UCF-101"), "--lists", str(lists), "--protocol", "split2", "--out",
        str(out), "--json", code=1,
    )  # fmt: skip
    answer = json.loads(capsys.readouterr().out)
    assert (answer["present"], answer["listed"]) == (3, 4)
    assert answer["missing"] == ["Archery/v_Archery_g01_c01.avi"]
    assert answer["classes"] == {"Archery": 2, "Basketball": 2}
    assert answer["splits"]["split1"] == {"train": 2, "test": 2}
    assert "split1 train: the lists have 2 clips, officially there are 9537" in answer["differences"]
    splits = {sample.id: sample.split for sample in Manifest.read(out)}
    trained = {"v_Archery_g02_c01": "train", "v_Basketball_g02_c01": "train"}
    assert splits == {**trained, "v_Basketball_g01_c01": "test"}
    run("datasets", "ucf101", str(root / "UCF-101"), "--lists", str(lists), code=1)
    assert "3 of 4 videos present" in capsys.readouterr().out


def test_sets_without_lists_count_what_they_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "set").mkdir()
    root = DATASETS.get("utkinect").write_example(tmp_path / "set")
    run("datasets", "utkinect", str(root), "--json")
    answer = json.loads(capsys.readouterr().out)
    assert answer["present"] == answer["listed"] > 0
    assert answer["missing"] == []
    assert sum(answer["classes"].values()) > 1
    with pytest.raises(InvalidSetting, match="kinesphere import-skeletons utkinect FOLDER --out"):
        app(["datasets", "utkinect", str(root), "--out", str(tmp_path / "m.csv")])
    with pytest.raises(InvalidSetting, match="Give the folder of the data set"):
        app(["datasets", "utkinect", "--probe"])
