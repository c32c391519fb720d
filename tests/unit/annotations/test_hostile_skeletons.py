"""Skeleton sets that claim more than they hold, or what their own numbering does not know."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.annotations.formats.bvh import read_bvh
from kinesphere.annotations.formats.coco import read_coco
from kinesphere.annotations.formats.openpose import read_openpose
from kinesphere.core.errors import InvalidAnnotation, KinesphereError, UnsafeFile
from kinesphere.data import Manifest
from kinesphere.datasets import import_skeletons
from kinesphere.synthetic.mocap import render_motions

BONES = ("Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot")


def bvh(offset: str = "0 -1 0", extra: str = "", frames: int = 2) -> str:
    """A figure whose bones are all alike."""
    text = "HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\nCHANNELS 3 Xposition Yposition Zposition\n" + extra
    for side in ("Left", "Right"):
        for limb in (BONES[:3], BONES[3:]):
            text += "".join(f"JOINT {side}{bone}\n{{\nOFFSET {offset}\nCHANNELS 0\n" for bone in limb)
            text += f"End Site\n{{\nOFFSET {offset}\n}}\n" + "}\n" * 3
    return f"{text}}}\nMOTION\nFrames: {frames}\nFrame Time: 0.05\n" + "0 0 0\n" * frames


def msr() -> str:
    return "\n".join(f"{0.1 * j} 1 2 0.5" for j in range(40))


def ntu() -> str:
    lines = ["1", "1", "7 0 1 1 1 1 0 0.1 0.2 2", "25"]
    return "\n".join([*lines, *[f"1 {j} 3 0 0 {100 + j} 200 0 0 0 1 2" for j in range(25)]])


def said(name: str, folder: Path, out: Path) -> tuple[list[str], str]:
    """The ids that a set becomes, and what was left out."""
    result = import_skeletons(name, folder, out)
    left_out = "\n".join(f"{each.path}: {each.reason}" for each in result.skipped)
    return [sample.id for sample in Manifest.read(result.manifest)], left_out


# ------------------------------------------------------------------------------------ a set's own numbers


MSR, NTU = "a01_s01_e01_skeleton3D.txt", "S001C001P001R001A001.skeleton"


@pytest.mark.parametrize(
    ("kind", "good", "wrong", "make", "message"),
    [
        ("msr_action3d", MSR, MSR.replace("a01", "a00"), msr, "actions 1 to 20, not 0"),
        ("msr_action3d", MSR, MSR.replace("a01", "a21"), msr, "actions 1 to 20, not 21"),
        ("msr_action3d", MSR, MSR.replace("s01", "s11"), msr, "subjects 1 to 10"),
        ("msr_action3d", MSR, MSR.replace("e01", "e00"), msr, "repetitions 1 to 3"),
        ("msr_action3d", MSR, MSR.replace("_s01", ""), msr, "name is not such as a01_s01"),
        ("ntu", NTU, NTU.replace("A001", "A000"), ntu, "actions 1 to 120"),
        ("ntu", NTU, NTU.replace("A001", "A121"), ntu, "says 121"),
        ("ntu", NTU, NTU.replace("S001", "S033"), ntu, "setups 1 to 32"),
        ("ntu", NTU, NTU.replace("C001", "C004"), ntu, "cameras 1 to 3"),
        ("ntu", NTU, NTU.replace("P001", "P107"), ntu, "performers 1 to 106"),
        ("ntu", NTU, NTU.replace("A001", "A0011"), ntu, "is no NTU RGB+D name"),
        ("laban_effort", "walking_0_1_-1_0.bvh", "walking_0_7_-1_0.bvh", bvh, "grades by -1, 0 and 1"),
        ("bvh", "walk/a.bvh", "a|b/a.bvh", bvh, "is no label"),
    ],
)
def test_what_a_set_does_not_number_is_left_out(
    tmp_path: Path, kind: str, good: str, wrong: str, make: Callable[[], str], message: str
) -> None:
    for name in (good, wrong):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(make())
    ids, left_out = said(kind, tmp_path / "set", tmp_path / "out")
    assert len(ids) == 1
    assert message in left_out


def test_utkinect_passages_that_its_files_do_not_have(tmp_path: Path) -> None:
    rows = "\n".join(" ".join(map(str, [t, *np.arange(1, 61)])) for t in range(100, 140))
    for name in ("joints_s01_e01.txt", "joints_s11_e01.txt", "joints_s02_e03.txt", "joints_s02_e01.txt"):
        (tmp_path / name).write_text(rows)
    (tmp_path / "actionLabel.txt").write_text(
        "s01_e01\nwalk: 110 120\npush: 90 99\npull: 140 150\ndance: 1 2\ns11_e01\nwalk: 110 120\n"
    )
    ids, left_out = said("utkinect", tmp_path, tmp_path / "out")
    assert ids == ["s01_e01"]
    for message in (
        "s01_e01 push: it runs from frame 90 to 99, the file from 100 to 139",
        "s01_e01 pull: it runs from frame 140 to 150",
        "line 5: 'dance' is none of the set's actions",
        "joints_s11_e01.txt: The set has subjects 1 to 10, not 11",
        "joints_s02_e03.txt: The set has repetitions 1 to 2, not 3",
    ):
        assert message in left_out


def test_jhmdb_clips_of_no_class_or_without_numbers(tmp_path: Path) -> None:
    joints = np.random.default_rng(0).normal(size=(9, 15, 2)).astype(np.float32)
    joints[4, 3] = np.nan
    np.savez(
        tmp_path / "split1_train.npz", joints=joints, lengths=np.array([3, 3, 3]),
        labels=np.array(["run", "run", "hop"]),
    )  # fmt: skip
    (tmp_path / "split1_test.npz").write_bytes(b"PK\3\4 nothing")
    ids, left_out = said("jhmdb", tmp_path, tmp_path / "out")
    assert ids == ["split1_train/0000"]
    assert "split1_train/0001: Its joints hold values that are no numbers" in left_out
    assert "split1_train/0002: 'hop' is none of the set's 21 classes" in left_out
    assert "split1_test.npz" in left_out


# --------------------------------------------------------------------------------------------- names


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    def annotation(name: Any) -> dict[str, Any]:
        return {
            "frame_dir": name, "label": 1, "img_shape": (48, 64), "total_frames": 2,
            "keypoint": np.ones((1, 2, 17, 2), np.float16), "keypoint_score": np.ones((1, 2, 17), np.float16),
        }  # fmt: skip

    names = [
        "a",
        "/a",
        "x" * 300,
        "b\0c",
        "..",
        "../../up",
        "\ud800",
        "d/" * 600 + "d",
        "",
        ["n"],
        "a.pose.npz",
    ]
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps({"annotations": [annotation(name) for name in names]}))
    ids, left_out = said("pyskl", path, tmp_path / "out")
    assert ids == ["a", "..", "../../up", "a.pose.npz"]
    written = {p.relative_to(tmp_path / "out" / "poses").as_posix() for p in tmp_path.rglob("*.npz")}
    assert written == {"_.pose.npz", "_/_/up.pose.npz", "a.pose.npz", "a.pose.npz.pose.npz"}
    assert len(left_out.splitlines()) == 7
    for message in ("has become 'a.pose.npz'", "too long for a file", "is no name", "'frame_dir' is a name"):
        assert message in left_out


# ------------------------------------------------------------------------------ claims beyond the bytes


def test_bvh_claims(tmp_path: Path) -> None:
    path = tmp_path / "a.bvh"
    ended = "CHANNELS 0\nEnd Site\n{\nOFFSET 0 0 0\n}\n}\n"
    many = "".join(f"JOINT b{i}\n{{\nOFFSET 0 0 0\n{ended}" for i in range(3000))
    deep = "".join(f"JOINT d{i}\n{{\nOFFSET 0 0 0\nCHANNELS 0\n" for i in range(300))
    for text, message in (
        (bvh().replace("Frames: 2", f"Frames: {'9' * 5000}"), "the number of frames should stand here"),
        (bvh().replace("Frames: 2", "Frames: 999999999"), "the file ends here, but more was announced"),
        (bvh(extra=many, frames=4000), "bytes and claims .* for bones in frames"),
        (bvh(extra=deep), "nested more than 200 deep"),
        (bvh("0 -1e300 0"), r"OFFSET of LeftArm should be 3 numbers"),
        (bvh() + "x" * (1 << 20), "lines have fewer than 1048576 characters"),
    ):
        path.write_text(text)
        with pytest.raises(InvalidAnnotation, match=message):
            read_bvh(path)
    for offset, message in (("0 0 0", "legs of this file have no length"), ("0 -1e-9 0", "lie further than")):
        path.write_text(bvh(offset).replace("0.05\n0 0 0\n", "0.05\n9 9 9\n"))
        with pytest.raises(InvalidAnnotation, match=message):
            read_bvh(path).joints()


def test_pickles_whose_annotations_share_an_array_are_refused(tmp_path: Path) -> None:
    big, scores = np.ones((1, 60_000, 17, 2), np.float32), np.ones((1, 60_000, 17), np.float32)
    shared = {"label": 1, "img_shape": (48, 64), "keypoint": big, "keypoint_score": scores}
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps({"annotations": [{"frame_dir": f"v{i}", **shared} for i in range(40)]}))
    with pytest.raises(InvalidAnnotation, match=r"bytes and claims .* for 'keypoint"):
        import_skeletons("pyskl", path, tmp_path / "out")
    lists = {f"p{i}_train": ["v"] for i in range(101)}
    path.write_bytes(pickle.dumps({"annotations": [], "split": lists}))
    with pytest.raises(InvalidAnnotation, match="101 lists of clips; a set has at most 100"):
        import_skeletons("pyskl", path, tmp_path / "out")


def test_json_of_estimators_claims(tmp_path: Path) -> None:
    # A thousand images, each with somebody who is never seen again.
    images = [{"id": t, "width": 64, "height": 48} for t in range(1500)]
    people = [{"image_id": t, "keypoints": [1] * 51, "track_id": t} for t in range(1500)]
    path = tmp_path / "clip.json"
    path.write_text(json.dumps({"images": images, "annotations": people}))
    with pytest.raises(InvalidAnnotation, match=r"bytes and claims .* for the tracks of its people"):
        read_coco(path, fps=25)
    path.write_text("[" * 100_000)
    with pytest.raises(InvalidAnnotation, match="deeper than"):
        read_coco(path, fps=25, frame_size=(48, 64))
    (tmp_path / "clip_000001999999_keypoints.json").write_text('{"people": []}')
    with pytest.raises(InvalidAnnotation, match="numbers 1 files up to 1999999"):
        read_openpose(tmp_path, fps=25, frame_size=(48, 64))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_pipes_and_folders_are_no_recordings(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "S001C001P001R001A002.skeleton")
    (tmp_path / "S001C001P001R001A003.skeleton").mkdir()
    (tmp_path / "S001C001P001R001A001.skeleton").write_text(ntu())
    ids, left_out = said("ntu", tmp_path, tmp_path / "out")
    assert ids == ["S001C001P001R001A001"]
    assert left_out.count("is no regular file") == 2


# -------------------------------------------------------------------------------------------- archives


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    return path


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size, found.type, found.linkname = size, kind, link
    return found


def test_archives_unpack_within_their_size(tmp_path: Path) -> None:
    header = member("set/a.txt", 1 << 40).tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "claim.tar").write_bytes(header + bytes(1024))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set/a.txt", bytes(80 << 20))
    crowd = [(member(f"set/{i}"), b"") for i in range(3500)]
    for path, message in (
        (tmp_path / "claim.tar", "claims a number of|claims 1099511627776"),
        (tmp_path / "bomb.zip", "claims 83886080 for what it unpacks to"),
        (tar(tmp_path / "crowd.tar.gz", *crowd), "holds more files than one of its size can"),
        (tar(tmp_path / "link.tar", (member("set/a", 0, tarfile.SYMTYPE, "/etc"), b"")), "is no plain file"),
        (tar(tmp_path / "pipe.tar", (member("set/a", 0, tarfile.FIFOTYPE), b"")), "is no plain file"),
        (tar(tmp_path / "up.tar", (member("../up"), b"")), "would write outside its folder"),
    ):
        with pytest.raises(UnsafeFile, match=message):
            import_skeletons("ntu", path, tmp_path / "out")
    assert not (tmp_path / "up").exists()


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_names_in_archives_have_a_bound(tmp_path: Path, kind: bytes) -> None:
    """A header before another one is read whole: a gigabyte of zeros packs to a megabyte."""
    with gzip.open(tmp_path / "set.tar.gz", "wb") as file:
        file.write(member("x", 1 << 20, kind).tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    with pytest.raises(UnsafeFile, match="states a name or notes of 1048576 bytes"):
        import_skeletons("ntu", tmp_path / "set.tar.gz", tmp_path / "out")


def test_a_name_that_no_file_can_have_is_nothing_to_import(tmp_path: Path) -> None:
    with pytest.raises(InvalidAnnotation, match="There is nothing at"):
        import_skeletons("ntu", tmp_path / ("a" * 300), tmp_path / "out")


@pytest.mark.parametrize("name", ["../up.txt", "/tmp/up.txt", "a/../../up.txt", "..\\up.txt"])
def test_members_of_zips_stay_inside(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(UnsafeFile, match="would write outside its folder"):
        import_skeletons("ntu", tmp_path / "set.zip", tmp_path / "out")


@pytest.mark.parametrize("suffix", [".tar", ".tgz", ".tar.xz", ".zip"])
def test_sets_are_read_from_archives(tmp_path: Path, suffix: str) -> None:
    name, data = "set/S001C001P001R001A001.skeleton", ntu().encode()
    path = tmp_path / f"set{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("set/", "")
            archive.writestr(name, data)
    else:
        mode = {".tar": "w", ".tgz": "w:gz", ".tar.xz": "w:xz"}[suffix]
        with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
            archive.addfile(member(name, len(data)), io.BytesIO(data))
    assert import_skeletons("ntu", path, tmp_path / "out").samples == 1
    data = path.read_bytes()
    path.write_bytes(data[: min(700, len(data) - 100)])
    with pytest.raises(KinesphereError):
        import_skeletons("ntu", path, tmp_path / "out")


# ------------------------------------------------------------------------------------------ real inputs


@pytest.fixture
def faults() -> Path:
    root = os.environ.get("KINESPHERE_TEST_DATA")
    path = Path(root or "").parent / "faults"
    if not root or not path.is_dir():
        pytest.skip("there is no folder `faults` beside KINESPHERE_TEST_DATA")
    return path


def test_hostile_sets_are_refused(faults: Path, tmp_path: Path) -> None:
    for name, kind, message in (
        ("bvh_zero_legs", "bvh", "The legs of this file have no length"),
        ("msr_action3d_a00", "msr_action3d", "The set has actions 1 to 20, not 0"),
    ):
        with pytest.raises(InvalidAnnotation, match=f"holds no recording of .*1 were left out.*{message}"):
            import_skeletons(kind, faults / "hostile" / name, tmp_path / name)


def test_motions_that_cannot_be_played_say_why(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "a.bvh").write_text(bvh("0 0 0"))
    with pytest.raises(InvalidAnnotation, match=r"holds no motion of .*1 were left out.*legs of this file"):
        render_motions("bvh", tmp_path, tmp_path / "out")


@pytest.mark.parametrize(("name", "count"), [("good", 10), ("nan", 9), ("shorter", 9)])
def test_one_bad_clip_among_good_ones(faults: Path, tmp_path: Path, name: str, count: int) -> None:
    ids, left_out = said("pyskl", faults / "skeletons" / f"pyskl_{name}.pkl", tmp_path)
    assert len(ids) == count
    assert left_out.startswith("v09: " if count == 9 else "")
