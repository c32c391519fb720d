"""What `check` says of recordings with spans, and of crops."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kinesphere.apps.cli.main import app
from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.data import Manifest, check
from kinesphere.data.preflight import Preflight

SQUARE = ClipSpec(Sampling.parse("4x2x1"), (32, 32))


def said(result: Preflight, kind: str) -> str:
    return " ".join(f"{each.message} {each.where}" for each in result.problems if each.kind == kind)


@pytest.fixture
def recordings(make_video: Callable[..., Path], tmp_path: Path) -> Path:
    make_video(tmp_path / "one.mp4", frames=100)
    make_video(tmp_path / "two.mp4", frames=50, tint=1)
    rows = [
        "path,label,start,end",
        "one.mp4,walk,0,1",
        "one.mp4,wave,0.5,1.5",
        "one.mp4,walk,2,2.5",
        "one.mp4,walk,2.25,3",
        "two.mp4,wave,0,1",
    ]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    return tmp_path / "m.csv"


def test_spans_time_labelled_groups_and_contradictions(recordings: Path) -> None:
    result = check(Manifest.read(recordings), SQUARE, workers=1)
    assert result.clip_durations_s is not None
    assert (result.clip_durations_s.least, result.clip_durations_s.most) == (0.5, 1.0)
    assert result.durations_s is not None
    assert result.durations_s.total == pytest.approx(6)
    assert result.labelled_share == pytest.approx(3.5 / 6)
    assert result.groups == 1
    assert result.groupings == ("4 samples are kept together by file: 1 groups",)
    assert "1 spans share time with another span" in said(result, "overlap")
    assert "one.mp4@0.0-1.0 and one.mp4@0.5-1.5" in said(result, "overlap")
    shown = CliRunner().invoke(app, ["check", str(recordings)]).output
    assert "labelled    58% of the time" in shown
    assert "spans       0.50 – 1.00 s" in shown
    assert "files       2.00 – 4.00 s" in shown


def test_whole_videos_have_no_share_of_time(make_video: Callable[..., Path], tmp_path: Path) -> None:
    make_video(tmp_path / "a" / "1.mp4")
    make_video(tmp_path / "b" / "2.mp4", tint=1)
    result = check(Manifest.read(tmp_path), SQUARE, workers=1)
    assert result.labelled_share is None
    assert result.clip_durations_s == result.durations_s
    assert said(result, "cropped") == ""  # 3:4 is close enough to a square


def test_a_crop_of_wide_pictures_is_said(make_video: Callable[..., Path], tmp_path: Path) -> None:
    make_video(tmp_path / "a" / "1.mp4", size=(32, 64))
    make_video(tmp_path / "b" / "2.mp4", size=(32, 64), tint=1)
    manifest = Manifest.read(tmp_path)
    found = said(check(manifest, SQUARE, workers=1), "cropped")
    assert "Of 2 videos the model's centre crop shows as little as 50% of the longer side" in found
    assert "clip.resize=letterbox" in found
    assert said(check(manifest, SQUARE.with_(resize="letterbox"), workers=1), "cropped") == ""


@pytest.mark.parametrize(("x", "cut"), [(4.0, True), (32.0, False)])
def test_poses_tell_whether_the_crop_leaves_people_out(
    make_video: Callable[..., Path], tmp_path: Path, x: float, cut: bool
) -> None:
    for name in ("a/1.mp4", "b/2.mp4"):
        path = make_video(tmp_path / name, size=(32, 64), tint=len(name))
        keypoints = np.full((30, 1, 17, 2), 16, np.float32)
        keypoints[..., 0] = x
        scores = np.ones((30, 1, 17), np.float32)
        poses = Poses(np.arange(30) / 25, keypoints, scores, np.array([1]), "coco17", (32, 64), fps=25.0)
        write_poses(poses, path.with_name(path.name + ".pose.npz"))
    found = said(check(Manifest.read(tmp_path), SQUARE, workers=1), "cropped")
    assert ("In 2 videos the model's centre crop leaves out up to 100% of the people" in found) is cut
    assert "as little as" not in found


def test_wrong_rows_are_all_listed_and_the_others_checked(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    make_video(tmp_path / "1.mp4")
    make_video(tmp_path / "2.mp4", tint=1)
    (tmp_path / "m.csv").write_text(
        "path;label;start;end\n1.mp4;a;0;1\n1.mp4;a;0;0\n2.mp4;b;0,25;0:01\n2.mp4;b;x;1\n"
    )
    shown = CliRunner().invoke(app, ["check", str(tmp_path / "m.csv")])
    assert shown.exit_code == 1
    assert "2 rows of the table are wrong" in shown.output
    assert "row 3: a span runs from start to a later end" in shown.output
    assert "row 5: start and end are seconds" in shown.output
    found = json.loads(CliRunner().invoke(app, ["check", str(tmp_path / "m.csv"), "--json"]).stdout)
    assert (found["clips"], found["classes"]) == (2, {"a": 1, "b": 1})


def test_labels_that_look_like_markup_are_printed_as_they_are(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    make_video(tmp_path / "[b]1[/].mp4")
    (tmp_path / "m.csv").write_text(
        "path,label\n[b]1[/].mp4,[bold red]x[/]\n[b]1[/].mp4,[/]\nnone.mp4,:smile:\n"
    )
    shown = CliRunner().invoke(app, ["check", str(tmp_path / "m.csv")]).output
    for text in ("[bold red]x[/]", ":smile:", "[b]1[/].mp4"):
        assert text in shown


@pytest.mark.skipif("KINESPHERE_TEST_DATA" not in os.environ, reason="needs KINESPHERE_TEST_DATA")
def test_the_hostile_table() -> None:
    table = Path(os.environ["KINESPHERE_TEST_DATA"]).parent / "faults" / "hostile" / "markup.csv"
    if not table.is_file():
        pytest.skip("needs the small inputs beside KINESPHERE_TEST_DATA")
    assert "[bold red]x[/]" in CliRunner().invoke(app, ["check", str(table)]).output
