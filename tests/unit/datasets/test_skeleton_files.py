"""Readers of skeleton files that others made."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.annotations.formats.bvh import read_bvh
from kinesphere.annotations.formats.jhmdb import read_jhmdb
from kinesphere.annotations.formats.msr_action3d import read_msr
from kinesphere.annotations.formats.ntu import NtuName, read_missing, read_ntu
from kinesphere.annotations.formats.utkinect import read_utkinect, read_utkinect_labels
from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.modalities.pose.file import read_poses
from kinesphere.clips.pinhole import PinholeCamera
from kinesphere.clips.skeleton import COCO17, KINECT20, NTU25
from kinesphere.core.archives import opened
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, UnsafeFile
from kinesphere.data import ClipDataset, Item, Manifest
from kinesphere.data.catalogue import DATASETS
from kinesphere.datasets import import_skeletons
from kinesphere.datasets.ntu import SUBJECTS

# ------------------------------------------------------------------------------------------------- NTU


def ntu_text(frames: list[list[tuple[int, float]]]) -> str:
    """Frames of bodies `(id, x)`: joint j stands at (x, j, 3) m and (100 + j, 200) px."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body, x in bodies:
            lines += [f"{body} 0 1 1 1 1 0 0.1 0.2 2", "25"]
            lines += [f"{x} {j} 3 0 0 {100 + j} 200 0 0 0 1 {2 if j else 1}" for j in range(25)]
    return "\n".join(lines) + "\n"


def test_ntu_bodies_are_told_by_their_ids(tmp_path: Path) -> None:
    path = tmp_path / "S001C002P003R001A010.skeleton"
    path.write_text(ntu_text([[(7, 1.0)], [(8, 2.0), (7, 1.5)], []]))
    poses = read_ntu(path)
    assert poses.present.tolist() == [[True, False], [True, True], [False, False]]
    assert poses.world is not None
    assert poses.world[1, :, 3].tolist() == [[1.5, 3, 3], [2, 3, 3]]
    assert poses.keypoints[0, 0, 4].tolist() == [104, 200]
    assert poses.scores[0, 0, :2].tolist() == [0.5, 1.0]
    assert (poses.skeleton, poses.frame_size, poses.fps) == ("ntu25", (1080, 1920), 30)
    assert NtuName.parse(path.name) == NtuName(1, 2, 3, 1, 10)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t[: len(t) // 2], r"line \d+: a joint should be 12 numbers|the file ends here"),
        (lambda t: "x" + t, "line 1: the number of frames should be numbers; got 'x3'"),
        (lambda t: t.replace("3 0 0 104", "3 0 zero 104", 1), "line 9: a joint should be numbers"),
        (lambda t: t.replace("\n25\n", "\n24\n", 1), "line 4: a body has 25 joints"),
        (lambda t: t.replace("0 1 2\n", "0 1 7\n", 1), "the tracking state of a joint is 0, 1 or 2"),
        (lambda t: t.replace("0.1 0.2 2", "0.1", 1), "line 3: a body is described by 10 numbers; got 8"),
        (lambda t: t + "9\n", "there is more than the announced frames"),
        (lambda t: t.replace("\n8 0 1", "\n7 0 1"), "body 7 comes twice in one frame"),
        (lambda t: "-1" + t[1:], "whole number from 0 to 1000000; got -1"),
    ],
)
def test_damaged_ntu_files_name_the_line(tmp_path: Path, damage: Callable[[str], str], message: str) -> None:
    path = tmp_path / "S001C002P003R001A010.skeleton"
    path.write_text(damage(ntu_text([[(7, 1.0)], [(8, 2.0), (7, 1.5)], []])))
    with pytest.raises(InvalidAnnotation, match=message):
        read_ntu(path)


def test_ntu_without_bodies_and_lists_of_missing(tmp_path: Path) -> None:
    path = tmp_path / "empty.skeleton"
    path.write_text(ntu_text([[], []]))
    with pytest.raises(InvalidAnnotation, match="shows no body in 2 frames; it belongs on the list"):
        read_ntu(path)
    listed = tmp_path / "missing.txt"
    listed.write_text("Samples with missing skeletons:\nS001C002P005R002A008\nS001C002P006R001A008\n")
    assert read_missing(listed) == {"S001C002P005R002A008", "S001C002P006R001A008"}
    listed.write_text("S001C002P005R002A008\nelse\n")
    with pytest.raises(InvalidAnnotation, match="should list names such as S001C002P005R002A008; got 'else'"):
        read_missing(listed)
    with pytest.raises(InvalidAnnotation, match="'clip' is no NTU"):
        NtuName.parse("clip")
    (tmp_path / "nothing.txt").touch()
    with pytest.raises(InvalidAnnotation, match=r"nothing.txt is empty"):
        read_missing(tmp_path / "nothing.txt")
    with pytest.raises(InvalidAnnotation, match=r"Cannot read .*none.skeleton"):
        read_ntu(tmp_path / "none.skeleton")


# ---------------------------------------------------------------------------------------------- Kinect


def test_utkinect_times_follow_frame_numbers(tmp_path: Path) -> None:
    path = tmp_path / "joints_s01_e01.txt"
    rows = [[number, *np.arange(60.0) + number] for number in (190, 192, 192, 195)]
    path.write_text("\n".join(" ".join(map(str, row)) for row in rows))
    poses, first = read_utkinect(path)
    assert first == 190
    np.testing.assert_allclose(poses.times * 30, [0, 2, 5])
    assert poses.keypoints[1, 0, 1].tolist() == [195, 196, 197]
    assert (poses.skeleton, poses.frame_size) == ("kinect20", None)
    path.write_text("190 1 2 3")
    with pytest.raises(
        InvalidAnnotation, match="line 1: a frame number and 20 joints should be 61 numbers; got 4"
    ):
        read_utkinect(path)
    path.write_text("\n".join(" ".join(map(str, row)) for row in rows[::-1]))
    with pytest.raises(
        InvalidAnnotation, match=r"line 2: frame numbers are whole and ascend; got 192 after \[195\]"
    ):
        read_utkinect(path)


def test_utkinect_labels(tmp_path: Path) -> None:
    path = tmp_path / "actionLabel.txt"
    path.write_text("s01_e01\nwalk: 252 390\ncarry:  NaN NaN\ns01_e02\nthrow: 10 20\n")
    labels = read_utkinect_labels(path)
    assert [(p.sequence, p.label, p.first, p.last) for p in labels.found] == [
        ("s01_e01", "walk", 252, 390),
        ("s01_e02", "throw", 10, 20),
    ]
    assert [p.label for p in labels.missing] == ["carry"]
    path.write_text(
        "walk: 252 390\ns01_e01\nwalk: 390 252\nhop: 1 2\npush: 1 99999999\npull: 3 7\npush: 1\nwalk: 0 0\n"
    )
    labels = read_utkinect_labels(path)
    assert [p.label for p in labels.found] == ["pull"]
    for wrong, message in zip(
        labels.wrong,
        (
            "line 1: expected a sequence, then lines such as",
            "line 3: walk runs from a frame to a later one; got 390 252",
            "line 4: 'hop' is none of the set's actions: walk, sitDown",
            "line 5: push runs from a frame to a later one; got 1 99999999",
            "line 7: expected a sequence",
            "line 8: walk runs from a frame to a later one; got 0 0",
        ),
        strict=True,
    ):
        assert message in wrong


def test_msr_joints_are_put_in_kinect_order(tmp_path: Path) -> None:
    path = tmp_path / "a01_s01_e01_skeleton3D.txt"
    rows = np.array([[j, 0, 1, 1] for j in range(20)] * 2, float)
    rows[3, 3] = 0
    rows[20 + 12] = 0
    np.savetxt(path, rows)
    poses = read_msr(path)
    place = {name: poses.keypoints[0, 0, KINECT20.index(name), 0] for name in KINECT20.joints}
    assert (place["head"], place["pelvis"], place["right_hand"], place["left_foot"]) == (19, 6, 12, 17)
    assert poses.scores[0, 0, KINECT20.index("spine")] == 0.5
    assert poses.scores[1, 0, KINECT20.index("right_hand")] == 0
    np.savetxt(path, rows[:30])
    with pytest.raises(InvalidAnnotation, match="30 lines are no whole number of frames"):
        read_msr(path)
    np.savetxt(path, np.zeros((20, 4)))
    with pytest.raises(InvalidAnnotation, match="shows nobody: all joints are at the origin"):
        read_msr(path)
    path.write_text("1 2 nan 1\n")
    with pytest.raises(InvalidAnnotation, match="line 1: a joint should be finite numbers"):
        read_msr(path)


def test_jhmdb_clips_are_cut_by_their_lengths(tmp_path: Path) -> None:
    path = tmp_path / "split1_train.npz"
    joints = np.random.default_rng(0).normal(size=(7, 15, 2)).astype(np.float32)
    content: dict[str, Any] = {"joints": joints, "lengths": np.array([3, 4]), "labels": np.array(["a", "b"])}
    np.savez(path, **content)
    clips = read_jhmdb(path)
    assert [(len(clip.poses), clip.label) for clip in clips] == [(3, "a"), (4, "b")]
    np.testing.assert_allclose(clips[1].poses.keypoints[:, 0], joints[3:] * 60 + [159.5, 119.5], rtol=1e-5)
    np.savez(path, **content | {"lengths": np.array([3, 5])})
    with pytest.raises(InvalidAnnotation, match="2 lengths of 8 frames in all, and 7 frames contradict"):
        read_jhmdb(path)
    np.savez(path, **content | {"joints": joints[:, :14]})
    with pytest.raises(InvalidAnnotation, match=r"should be finite \(T, 15, 2\); got \(7, 14, 2\)"):
        read_jhmdb(path)
    path.write_bytes(b"PK")
    with pytest.raises(InvalidAnnotation, match="is not a file of JHMDB joints"):
        read_jhmdb(path)


# ------------------------------------------------------------------------------------------------- BVH

_ARMS = """JOINT {side}Arm {{ OFFSET {x} 5 0 CHANNELS 3 Zrotation Xrotation Yrotation
JOINT {side}ForeArm {{ OFFSET 0 -3 0 CHANNELS 3 Zrotation Xrotation Yrotation
JOINT {side}Hand {{ OFFSET 0 -3 0 CHANNELS 3 Zrotation Xrotation Yrotation
End Site {{ OFFSET 0 -1 0 }} }} }} }}
JOINT {side}UpLeg {{ OFFSET {x} -1 0 CHANNELS 3 Zrotation Xrotation Yrotation
JOINT {side}Leg {{ OFFSET 0 -4 0 CHANNELS 3 Zrotation Xrotation Yrotation
JOINT {side}Foot {{ OFFSET 0 -4 0 CHANNELS 3 Zrotation Xrotation Yrotation
End Site {{ OFFSET 0 0 1 }} }} }} }}
"""


def bvh(frames: list[dict[int, float]]) -> str:
    """A figure of nine bones a side; frames give the channels that are not 0."""
    text = "HIERARCHY\nROOT Hips { OFFSET 0 0 0 CHANNELS 6 Xposition Yposition Zposition "
    text += "Zrotation Xrotation Yrotation\n"
    text += _ARMS.format(side="Left", x=1) + _ARMS.format(side="Right", x=-1) + "}\n"
    text = text.replace("{", "\n{\n").replace("}", "\n}\n").replace("CHANNELS", "\nCHANNELS")
    rows = [" ".join(str(frame.get(c, 0)) for c in range(6 + 12 * 3)) for frame in frames]
    return f"{text}MOTION\nFrames: {len(frames)}\nFrame Time: 0.05\n" + "\n".join(rows) + "\n"


def test_bvh_forward_kinematics(tmp_path: Path) -> None:
    path = tmp_path / "wave.bvh"
    # The root walks along z and turns left by 90 degrees; channel 6 lifts the left arm sideways.
    path.write_text(bvh([{}, {2: 10.0}, {5: 90.0}, {6: 90.0}]))
    motion = read_bvh(path)
    assert motion.fps == pytest.approx(20)
    names, points = motion.joints(unit_m=1.0)
    place = {name: points[:, i] for i, name in enumerate(names)}
    np.testing.assert_allclose(place["left_wrist"][0], [0, 1, -1], atol=1e-9)
    np.testing.assert_allclose(place["left_wrist"][1], [10, 1, -1], atol=1e-9)
    np.testing.assert_allclose(place["left_wrist"][2], [-1, 0, -1], atol=1e-9)
    np.testing.assert_allclose(place["left_wrist"][3], [0, 7, 5], atol=1e-9)
    np.testing.assert_allclose(place["right_ankle"][3], [0, -1, -9], atol=1e-9)
    legs = motion.joints()[1]
    hip, ankle = names.index("left_hip"), names.index("left_ankle")
    assert np.linalg.norm(legs[0, hip] - legs[0, ankle]) == pytest.approx(0.491 * 1.72)


def test_bvh_of_mixamo_is_the_same_person(tmp_path: Path) -> None:
    path, other = tmp_path / "plain.bvh", tmp_path / "mixamo.bvh"
    text = bvh([{}, {2: 10.0}, {6: 90.0}])
    path.write_text(text)
    # A joint that is called an end has channels and an end of its own.
    end = "\n{\nOFFSET 0 0 1\n"
    channels = "CHANNELS 3 Zrotation Xrotation Yrotation\n"
    toe = f"\nJOINT LeftToe_End{end}{channels}End site{end}}}\n}}\n"
    head, tail = text.split("JOINT LeftFoot")
    tail = tail.replace("End Site", toe + "End Site", 1)
    # Its three channels come after those of the left foot, the twenty-fourth to the root's right leg.
    rows = tail.split("Frame Time: 0.05\n")[1].splitlines()
    longer = [" ".join([*row.split()[:24], "0 0 0", *row.split()[24:]]) for row in rows]
    tail = tail.replace("\n".join(rows), "\n".join(longer))
    whole = re.sub(r"(ROOT|JOINT) ", r"\1 mixamorig:", f"{head}JOINT LeftFoot{tail}")
    other.write_text(whole)
    motion = read_bvh(other)
    assert {"LeftToe_End", "LeftToe_EndEnd", "LeftFootEnd"} <= set(motion.bones)
    names, points = motion.joints()
    expected_names, expected = read_bvh(path).joints()
    assert names == expected_names
    np.testing.assert_allclose(points, expected, atol=1e-9)


def test_bvh_with_z_up_is_the_same_person(tmp_path: Path) -> None:
    path, turned = tmp_path / "y.bvh", tmp_path / "z.bvh"
    text = bvh([{}, {2: 10.0}])
    path.write_text(text)

    def swapped(match: re.Match[str]) -> str:
        x, y, z = map(float, match[1].split())
        return f"OFFSET {x} {-z} {y}"

    turned.write_text(re.sub(r"OFFSET ((?:\S+ ?){3})", swapped, bvh([{}, {1: -10.0}])))
    np.testing.assert_allclose(read_bvh(turned).joints()[1], read_bvh(path).joints()[1], atol=1e-9)


def test_bvh_is_seen_by_a_chosen_camera(tmp_path: Path) -> None:
    path = tmp_path / "wave.bvh"
    path.write_text(bvh([{}, {6: 90.0}]))
    motion = read_bvh(path)
    front, back, left = (motion.seen_by(azimuth_deg=a, size=(240, 320)) for a in (0, 180, 90))
    shoulders = [COCO17.index("left_shoulder"), COCO17.index("right_shoulder")]
    # Who faces the camera has the left side on the picture's right.
    assert np.subtract(*front.keypoints[0, 0, shoulders, 0]) > 20
    assert np.subtract(*back.keypoints[0, 0, shoulders, 0]) < -20
    assert abs(np.subtract(*left.keypoints[0, 0, shoulders, 0])) < 2
    seen = front.scores[0, 0] > 0
    assert seen.sum() == 12
    assert ((front.keypoints[:, :, seen] > 0) & (front.keypoints[:, :, seen] < [320, 240])).all()
    camera = PinholeCamera((3.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.5, (240, 320))
    own = motion.seen_by(camera)
    assert own.world is not None
    np.testing.assert_allclose(own.keypoints, camera.project(own.world)[..., :2], rtol=1e-5)
    assert motion.in_space("ntu25").keypoints.shape == (2, 1, len(NTU25), 3)
    with pytest.raises(InvalidSetting, match="between -89 and 89 degrees; got 90"):
        motion.seen_by(elevation_deg=90)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999))
def test_bvh_bones_keep_their_lengths(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    angles = np.random.default_rng(seed).uniform(-180, 180, (3, 42))
    path = tmp_path_factory.mktemp("bvh") / "any.bvh"
    path.write_text(bvh([dict(enumerate(row)) for row in angles]))
    motion = read_bvh(path)
    children = np.flatnonzero(np.array(motion.parents) >= 0)
    bones = motion.positions[:, children] - motion.positions[:, np.array(motion.parents)[children]]
    expected = np.linalg.norm(motion.offsets[children], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(bones, axis=-1), np.tile(expected, (3, 1)), atol=1e-6)


def test_bvh_of_other_programs_is_the_same_motion(tmp_path: Path) -> None:
    path, other = tmp_path / "plain.bvh", tmp_path / "other.bvh"
    text = bvh([{}, {2: 10.5}, {6: 1e-3}])
    path.write_text(text)
    words = {"ROOT": "Root", "JOINT": "Joint", "OFFSET": "Offset", "CHANNELS": "channels", "MOTION": "Motion"}
    for theirs, ours in {
        **words,
        "HIERARCHY": "Hierarchy",
        "rotation": "Rotation",
        "Frames:": "FRAMES:",
    }.items():
        text = text.replace(theirs, ours)
    other.write_text(text.replace(".", ","))  # as of a computer that writes decimal commas
    motion, expected = read_bvh(other), read_bvh(path)
    assert (motion.bones, motion.fps) == (expected.bones, expected.fps)
    np.testing.assert_array_equal(motion.positions, expected.positions)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.replace("0.05", "0,05"), "line [0-9]+: '0,05' has a comma where other numbers"),
        (
            lambda t: t.replace("90.0", "1,2"),
            "'1,2' has a comma where other numbers of the file have a point",
        ),
        (lambda t: t.replace("90.0", "1,2,3"), "the channels of a frame should be numbers"),
        (lambda t: t[20:], "line 2: a BVH file begins with HIERARCHY"),
        (lambda t: t.replace("MOTION", "MOVIE"), "MOTION should follow the bones"),
        (
            lambda t: t.replace("MOTION", t.partition("\n")[2].partition("MOTION")[0] + "MOTION"),
            "a second person begins here; export each into a file of its own",
        ),
        (
            lambda t: t.replace("Frames: 2", "Frames: two"),
            "the number of frames should stand here; got 'Frames: two'",
        ),
        (lambda t: t.replace("Time: 0.05", "Time: 0"), "the time of a frame in seconds should stand here"),
        (lambda t: t.replace("Frames: 2", "Frames: 3"), "the file ends here, but more was announced"),
        (lambda t: t.replace("Frames: 2", "Frames: 1"), "there is more than the announced 1 frames"),
        (lambda t: t + "1 2 3\n", "more than the announced 2 frames"),
        (lambda t: t.replace("CHANNELS 3", "CHANNELS 2", 1), "the CHANNELS of LeftArm should be some of"),
        (lambda t: t.replace("OFFSET 1 5 0", "OFFSET 1 5", 1), "the OFFSET of LeftArm should be 3 numbers"),
        (lambda t: t.replace("JOINT RightArm", "JOINT LeftArm"), "there are two bones 'LeftArm'"),
        (lambda t: t.replace("JOINT LeftArm", "ROOT LeftArm"), "ROOT stands in the wrong place"),
        (
            lambda t: t.replace("JOINT LeftArm", "BONE LeftArm"),
            "a bone or } should stand here; got 'BONE LeftArm'",
        ),
        (lambda t: t.replace("\n{\n", "\n", 1), "the bone Hips should open with {"),
        (lambda t: t[: t.rindex("0 0")] + "x\n", r"the channels of a frame should be (42 )?numbers"),
    ],
)
def test_damaged_bvh_files_name_the_line(tmp_path: Path, damage: Callable[[str], str], message: str) -> None:
    path = tmp_path / "wave.bvh"
    path.write_text(damage(bvh([{}, {6: 90.0}])))
    with pytest.raises(InvalidAnnotation, match=message):
        read_bvh(path)


def test_bvh_with_unknown_bones_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wave.bvh"
    path.write_text(bvh([{}]).replace("LeftArm", "Humerus"))
    with pytest.raises(
        InvalidAnnotation, match="No bone of this file is known to be left_shoulder; its bones are Hips"
    ):
        read_bvh(path).joints()


# ------------------------------------------------------------------------------------------- data sets


def fake_msr(folder: Path) -> None:
    folder.mkdir(parents=True)
    for action, subject in ((1, 1), (1, 2), (2, 1), (2, 2)):
        rows = np.random.default_rng(action).normal(size=(20 * 30, 4))
        np.savetxt(folder / f"a{action:02d}_s{subject:02d}_e01_skeleton3D.txt", rows)
    np.savetxt(folder / "a03_s01_e01_skeleton3D.txt", np.zeros((20, 4)))


def test_import_writes_what_training_reads(tmp_path: Path) -> None:
    fake_msr(tmp_path / "msr" / "inside")
    archive = tmp_path / "msr.tar.xz"
    with tarfile.open(archive, "w:xz") as file:
        file.add(tmp_path / "msr" / "inside", "inside")
    done: list[int] = []
    result = import_skeletons("msr_action3d", archive, tmp_path / "out", progress=done.append)
    assert (result.files, result.samples, done) == (4, 4, [1, 2, 3, 4])
    assert [skipped.path for skipped in result.skipped] == ["a03_s01_e01_skeleton3D.txt"]
    manifest = Manifest.read(result.manifest)
    assert list(manifest.labels) == ["high arm wave", "horizontal arm wave"]
    assert manifest.groups == ("subject01", "subject02")
    assert len(manifest.where(split="train")) == 2
    spec = ClipSpec(Sampling.parse("uniform8"), (64, 64), "pose", skeleton="ntu25", dimensions=3,
                    mean=(0.0,) * 3, std=(1.0,) * 3)  # fmt: skip
    item = ClipDataset(manifest, spec, train=True)[0]
    assert isinstance(item, Item)
    assert item.inputs[0].shape == (1, 8, 1, 25, 4)


def test_utkinect_sequences_become_spans(tmp_path: Path) -> None:
    source = tmp_path / "utkinect"
    source.mkdir()
    rows = [[number, *np.arange(1.0, 61.0)] for number in range(100, 400, 2)]
    (source / "joints_s01_e01.txt").write_text("\n".join(" ".join(map(str, row)) for row in rows))
    (source / "actionLabel.txt").write_text(
        "s01_e01\nwalk: 130 160\ncarry: NaN NaN\npush: 190 250\ns02_e01\npull: 1 2\n"
    )
    result = import_skeletons("utkinect", source, tmp_path / "out")
    assert {(s.path, s.reason) for s in result.skipped} == {
        ("s01_e01 carry", "its frames are not given"),
        ("s02_e01", "it is labelled, but its file is not there"),
    }
    walk, push = Manifest.read(result.manifest)
    assert walk.span == (pytest.approx(1.0), pytest.approx(61 / 30))
    assert push.span == (pytest.approx(3.0), pytest.approx(151 / 30))
    assert walk.path == push.path
    assert walk.group == "subject01"


def test_motion_capture_is_seen_from_several_sides(tmp_path: Path) -> None:
    source = tmp_path / "laban"
    source.mkdir()
    for name in ("walking_-1_0_1_0.bvh", "walking_0_0_0_1.bvh", "dance.bvh"):
        (source / name).write_text(bvh([{}, {6: 90.0}]))
    (source / "walking_1_1_1_1.bvh").write_text("HIERARCHY\nnothing")
    result = import_skeletons("laban_effort", source, tmp_path / "out", azimuths_deg=(0, 45))
    assert result.files == 4
    assert [s.path for s in result.skipped] == ["dance.bvh", "walking_1_1_1_1.bvh"]
    manifest = Manifest.read(result.manifest, label_column="weight")
    assert list(manifest.labels) == ["0"]
    assert manifest[0].group == "-1_0_1_0"
    assert read_poses(manifest[0].path).frame_size == (480, 640)
    with pytest.raises(InvalidSetting, match="Cameras are for motion capture"):
        import_skeletons("ntu", source, tmp_path / "out", azimuths_deg=(0,))


def test_nothing_to_import_and_bad_archives(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("jhmdb", "msr_action3d", "ntu", "bvh", "bandai_namco"):
        with pytest.raises(InvalidAnnotation, match="holds no recording of"):
            import_skeletons(name, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(InvalidAnnotation, match="There is nothing at"):
        import_skeletons("ntu", tmp_path / "none", tmp_path / "out")
    with pytest.raises(InvalidSetting, match=r"keeps a data set in one .pkl file"):
        import_skeletons("pyskl", tmp_path / "empty", tmp_path / "out")
    broken = tmp_path / "broken.tar.xz"
    broken.write_bytes(b"no archive")
    with pytest.raises(InvalidAnnotation, match="is not a readable archive"), opened(broken):
        pass
    climbing = tmp_path / "climbing.tar"
    (tmp_path / "file").write_text("x")
    with tarfile.open(climbing, "w") as file:
        file.add(tmp_path / "file", "../../escaped")
    with pytest.raises(UnsafeFile, match="would write outside its folder"), opened(climbing):
        pass


def test_ntu_sets(tmp_path: Path) -> None:
    folder = tmp_path / "ntu"
    folder.mkdir()
    for name in ("S001C001P003R001A010", "S001C002P001R001A011", "S001C002P001R001A012"):
        (folder / f"{name}.skeleton").write_text(ntu_text([[(7, 1.0)]] if not name.endswith("2") else [[]]))
    (folder / "S001C001P001R001A001.skeleton").write_text("5")
    (folder / "x_missing_skeletons.txt").write_text("S001C001P001R001A001\n")
    (folder / "clip.skeleton").write_text(ntu_text([[(7, 1.0)]]))
    result = import_skeletons("ntu", folder, tmp_path / "ntu_out")
    assert [s.path[-13:] for s in result.skipped] == ["A001.skeleton", "A012.skeleton", "clip.skeleton"]
    manifest = Manifest.read(result.manifest, label_column="cross_view")
    assert [(s.split, s.labels, s.group) for s in manifest] == [
        ("test", ("test",), "P003"),
        ("train", ("train",), "P001"),
    ]


def test_ntu_120_has_subjects_and_setups_of_its_own(tmp_path: Path) -> None:
    assert len(SUBJECTS) == 53
    assert len([subject for subject in SUBJECTS if subject <= 40]) == 20
    names = ("S001C001P001R001A001", "S017C001P040R001A060", "S018C001P045R001A061", "S031C002P106R001A120")
    for name in names:
        (tmp_path / f"{name}.skeleton").write_text(ntu_text([[(7, 1.0)]]))
    result = import_skeletons("ntu", tmp_path, tmp_path / "out")
    assert [s.split for s in Manifest.read(result.manifest)] == ["train", "test", "train", "test"]
    setups = Manifest.read(result.manifest, label_column="cross_setup")
    assert [s.labels for s in setups] == [("test",), ("test",), ("train",), ("test",)]


@pytest.mark.parametrize(("name", "ending"), [("bvh", ".bvh"), ("ntu", ".skeleton")])
def test_files_with_endings_in_capitals_are_read(tmp_path: Path, name: str, ending: str) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    DATASETS.get(name).write_example(folder)
    files = [path for path in folder.rglob("*") if path.name.endswith(ending)]
    assert files
    files[0].rename(files[0].with_suffix(ending.upper()))
    result = import_skeletons(name, folder, tmp_path / "out")
    assert (result.files, result.failures) == (len(files), 0)


def test_the_other_skeletons_of_msr_action3d_are_told(tmp_path: Path) -> None:
    folder = DATASETS.get("msr_action3d").write_example(tmp_path)
    count = 0
    for path in folder.glob("a01_*_skeleton3D.txt"):
        path.with_name(path.name.replace("3D", "")).write_text("1 2 3 4")
        count += 1
    result = import_skeletons("msr_action3d", folder, tmp_path / "out")
    assert result.failures == 0
    assert [each.path for each in result.skipped] == ["*_skeleton.txt"]
    for path in folder.glob("*_skeleton3D.txt"):
        path.unlink()
    told = f"{count} files in pixels of the depth image; those in metres are read"
    with pytest.raises(InvalidAnnotation, match=told):
        import_skeletons("msr_action3d", folder, tmp_path / "out2")
