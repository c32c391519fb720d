"""Small files that once went wrong, or were made to attack a reader, through the command line.

They lie in the folder `faults` beside the one that KINESPHERE_TEST_DATA names. Each is read right or refused
in words, within ten seconds of the processor and 500 MB.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model, save_model
from kinesphere.video import Video, VideoWriter

FAULTS = Path(os.environ.get("KINESPHERE_TEST_DATA", "none")).absolute().parent / "faults"
HOSTILE = FAULTS / "hostile"
pytestmark = pytest.mark.skipif(
    not HOSTILE.is_dir(), reason="there is no folder `faults` beside KINESPHERE_TEST_DATA"
)
POSES = ("deflate_broken", "fps_nan", "lzma_broken", "shape_1e13")


def resident_mb(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(name)


@pytest.fixture(autouse=True)
def bounds(model: Path, poses_model: Path) -> Iterator[None]:
    """Whatever a test does stays within the bounds, in 6 GB of addresses."""
    if sys.platform != "linux":
        yield
        return
    import resource

    Path("/proc/self/clear_refs").write_text("5")  # forget the highest use so far
    before_mb, before_s = resident_mb("VmRSS"), time.process_time()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (int(resident_mb("VmSize") * 2**20) + 6 * 10**9, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.process_time() - before_s < 10
    assert resident_mb("VmHWM") - before_mb < 500


def small_model(folder: Path, name: str) -> Path:
    torch.manual_seed(0)
    return save_model(create_model(name, LabelSet(("a", "b", "c"))), folder / f"{name}.safetensors")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model"), "fc_tiny")


@pytest.fixture(scope="module")
def poses_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model"), "stgcn_tiny")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The videos that the tables name."""
    root = tmp_path_factory.mktemp("clips")
    for number in range(10):
        side = "left" if number < 5 else "right"
        (root / side).mkdir(exist_ok=True)
        with VideoWriter(root / side / f"{side}_{number % 5}.mp4", (32, 32), 8) as writer:
            for frame in range(16):
                writer.write(np.full((32, 32, 3), 10 * number + 5 * frame, np.uint8))
    return root


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bytearray_call_3GB.pth", "asks for bytes made of 3000000000"),
        ("dag.pkl", "unfolds to more than"),
        ("memo_bomb_2GB.pkl", "holds no named tensors"),
        ("self_dict.pth", "contains itself"),
        ("stride0_2e6_classes.pth", "does not fit its storage"),
    ],
)
def test_checkpoints(kinesphere: Callable, tmp_path: Path, name: str, words: str) -> None:
    ended = kinesphere("import", HOSTILE / name, "--model", "r3d_18", "--out", tmp_path / "x.safetensors")
    assert ended.code == 2
    assert "InvalidCheckpoint" in ended.err
    assert words in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "words"),
    [("bad_date.yaml", "2020-99-99 is neither"), ("laugh_source.yaml", "unfolds to more than 20000 values")],
)
def test_recipes(kinesphere: Callable, name: str, words: str) -> None:
    ended = kinesphere("train", HOSTILE / name)
    assert ended.code == 2
    assert words in ended.err


@pytest.mark.parametrize("name", POSES)
def test_pose_files(kinesphere: Callable, tmp_path: Path, poses_model: Path, name: str) -> None:
    shutil.copyfile(HOSTILE / "v.mp4", tmp_path / "v.mp4")
    for target in ("alone.pose.npz", "v.mp4.pose.npz"):
        shutil.copyfile(HOSTILE / f"{name}.pose.npz", tmp_path / target)
    (tmp_path / "table.csv").write_text("path,label\nalone.pose.npz,a\nalone.pose.npz,b\n")
    checked = kinesphere("check", tmp_path / "table.csv", "--json")
    assert checked.code == 1
    assert "alone.pose.npz" in str(json.loads(checked.out)["unreadable"])
    for source in ("alone.pose.npz", "v.mp4"):
        ended = kinesphere("predict", tmp_path / source, "--model", poses_model)
        assert ended.code == 1
        assert "refused" in ended.out + ended.err


def test_flow_files(kinesphere: Callable, tmp_path: Path) -> None:
    shutil.copyfile(HOSTILE / "v.mp4", tmp_path / "v.mp4")
    shutil.copyfile(HOSTILE / "facts_deep.flow.npz", tmp_path / "v.mp4.flow.npz")
    ended = kinesphere("extract", "flow", tmp_path / "v.mp4")
    assert ended.code == 1
    assert "nests its content deeper than 64 levels" in " ".join((ended.out + ended.err).split())


@pytest.mark.parametrize(
    ("kind", "source", "code", "words"),
    [
        ("bvh", "hostile/bvh_zero_legs", 2, "The legs of this file have no length"),
        ("msr_action3d", "hostile/msr_action3d_a00", 2, "The set has actions 1 to 20, not 0"),
        ("pyskl", "skeletons/pyskl_good.pkl", 0, "10 samples in 10 pose files"),
        ("pyskl", "skeletons/pyskl_nan.pkl", 1, "9 samples in 9 pose files"),
        ("pyskl", "skeletons/pyskl_shorter.pkl", 1, "31 frames announced, 29 there"),
    ],
)
def test_skeletons(
    kinesphere: Callable, tmp_path: Path, kind: str, source: str, code: int, words: str
) -> None:
    ended = kinesphere("import-skeletons", kind, FAULTS / source, "--out", tmp_path / "out")
    assert ended.code == code
    assert words in " ".join((ended.out + ended.err).split())


def test_skeletons_of_one_clip(kinesphere: Callable, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    shutil.copyfile(FAULTS / "skeletons" / "clip.mp4", tmp_path / "videos" / "clip.mp4")
    words = ("openpose", FAULTS / "skeletons" / "op_nofile_end", "--videos", tmp_path / "videos")
    assert kinesphere("import-skeletons", *words, "--out", tmp_path / "poses").code == 0
    (tmp_path / "ntu").mkdir()
    name = "S001C001P002R001A002.skeleton"
    shutil.copyfile(FAULTS / "skeletons" / name, tmp_path / "ntu" / name)
    ended = kinesphere("import-skeletons", "ntu", tmp_path / "ntu", "--out", tmp_path / "out")
    assert (ended.code, "1 samples in 1 pose files" in ended.out) == (0, True)


def test_a_script_opens_nothing(kinesphere: Callable, tmp_path: Path, model: Path) -> None:
    for name in ("ffconcat_rel.mp4", "neighbour.ts"):
        shutil.copyfile(HOSTILE / name, tmp_path / name)
    os.utime(tmp_path / "neighbour.ts", (1, 1))
    ended = kinesphere("predict", tmp_path / "ffconcat_rel.mp4", "--model", model)
    assert ended.code == 1
    assert "is a concat script, not a video" in " ".join((ended.out + ended.err).split())
    assert (tmp_path / "neighbour.ts").stat().st_atime == 1


def test_markup_is_text(kinesphere: Callable) -> None:
    assert "[bold red]x[/]" in kinesphere("check", HOSTILE / "markup.csv").out


@pytest.mark.parametrize(
    ("name", "corners"),
    [("plain", "rgbw"), ("hflip", "grwb"), ("rot90", "brwg")],
)
def test_mirrored(name: str, corners: str) -> None:
    with Video.open(FAULTS / "mirrored" / f"{name}.mp4") as video:
        frame = video.frames_at([0.0]).data[0]
    h, w = frame.shape[1] // 4, frame.shape[2] // 4
    letters = {(1, 0, 0): "r", (0, 1, 0): "g", (0, 0, 1): "b", (1, 1, 1): "w"}
    places = [(h, w), (h, 3 * w), (3 * h, w), (3 * h, 3 * w)]
    assert "".join(letters[tuple((frame[:, y, x] > 100).astype(int).tolist())] for y, x in places) == corners


@pytest.mark.parametrize(
    "name",
    [
        "joined/same_clock.ts", "joined/shifted_clock.ts", "timestamp_outlier/first_early.mkv",
        "timestamp_outlier/last_late.mp4", "late_picture/late_picture.mkv", "late_picture/late_picture.mp4",
        "still_first_stream/thumb_first.mp4", "still_first_stream/thumb_last.mp4",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::kinesphere.core.errors.DamagedVideo")
def test_fifty_frames_in_order(kinesphere: Callable, model: Path, name: str) -> None:
    path = FAULTS / name
    with Video.open(path) as video:
        assert video.size == (64, 64)
        streamed = [frame.data.mean() for frame in video.stream()]
        asked = video.frames_at(video.frame_times()).data.mean((1, 2, 3))
    assert np.allclose(streamed, asked, atol=2)
    assert len(asked) == 50
    assert (np.diff(asked) > 0).all()
    ended = kinesphere("predict", path, "--model", model, "--json")
    start, end = json.loads(ended.out)["span"]
    assert (ended.code, end - start) == (0, pytest.approx(2, abs=0.1))
    assert start == pytest.approx(3 if "late_picture" in name else 0, abs=0.1)
    if "late_picture" in name:
        assert "damaged" not in ended.out + ended.err


def test_late_spans_exist(kinesphere: Callable) -> None:
    ended = kinesphere("check", FAULTS / "late_picture" / "spans.csv", "--json")
    assert (ended.code, json.loads(ended.out)["problems"]) == (0, [])


@pytest.mark.parametrize(
    ("name", "code", "classes", "words"),
    [
        ("activitynet_spans", 1, {"left", "right"}, "2 rows of the table are wrong"),
        ("case", 0, {"left", "right", "Left", "Right"}, "2 sets of labels differ in case"),
        ("mmss", 0, {"left", "right"}, ""),
        ("nfc_nfd", 0, {"left", "plié"}, ""),
        ("semicolon", 0, {"left", "right"}, ""),
    ],
)
def test_tables(
    kinesphere: Callable, clips: Path, name: str, code: int, classes: set[str], words: str
) -> None:
    table = Path(shutil.copyfile(FAULTS / "tables" / f"{name}.csv", clips / f"{name}.csv"))
    ended = kinesphere("check", table, "--json")
    found = json.loads(ended.out)
    assert (ended.code, set(found["classes"])) == (code, classes)
    assert words in " ".join(map(str, found["problems"]))
    assert found["unreadable"] == []
