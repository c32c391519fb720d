from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks import box
from benchmarks.box import CLASSES, LABEL_OF, NOTHING_ELSE, POSE_MODEL, POSE_RECIPE, generated_poses
from benchmarks.box_poses import SETS, Answers, again_goals, cut, fall_row, goals_of, projected, rows_of

from kinesphere.clips.modalities.pose.file import SUFFIX, write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.skeleton import map_between
from kinesphere.models import load_model
from kinesphere.predict import load
from kinesphere.synthetic.motion.primitive import MOVEMENTS
from kinesphere.train import Recipe


def test_classes_are_in_their_order_and_every_movement_shows_one_of_them():
    assert CLASSES[-1] == NOTHING_ELSE
    assert list(CLASSES[:-1]) == sorted(CLASSES[:-1])
    assert set(LABEL_OF) <= set(MOVEMENTS)
    assert len(LABEL_OF) == sum(map(len, box.MOVEMENTS.values()))
    assert tuple(Recipe.load(POSE_RECIPE).data.labels) == CLASSES
    for each in SETS:
        assert set(each.classes.values()) <= set(CLASSES)


def test_the_shipped_file_knows_these_classes_and_is_small():
    recogniser = load_model(POSE_MODEL)
    assert recogniser.labels.names == CLASSES
    assert recogniser.specs[0].skeleton == "coco17"
    assert POSE_MODEL.stat().st_size <= 1_200_000
    assert any("Apache-2.0" in note for note in recogniser.provenance.notes)


def test_joints_of_coco_and_of_mediapipe_get_the_same_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(box, "MOVEMENTS", {"kick": ("kick",)})
    clip = next(iter(generated_poses(10)))
    coco = clip.poses
    there = map_between("blazepose33", "coco17").parts
    keypoints = np.zeros((len(coco), 1, 33, 2), np.float32)
    scores = np.zeros((len(coco), 1, 33), np.float32)
    for joint, (source,) in enumerate(there):
        keypoints[:, :, source], scores[:, :, source] = coco.keypoints[:, :, joint], coco.scores[:, :, joint]
    theirs = replace(coco, keypoints=keypoints, scores=scores, skeleton="blazepose33")
    files = [tmp_path / f"{name}{SUFFIX}" for name in ("coco", "mediapipe")]
    for poses, file in zip((coco, theirs), files, strict=True):
        write_poses(poses, file)
    one, two = (load(POSE_MODEL).predict(file) for file in files)
    np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-6)


def test_a_person_before_the_sensor_has_its_left_on_the_right_of_the_picture():
    points = np.zeros((1, 1, 20, 3), np.float32)
    # A Kinect's x grows to its own left: the right hand of somebody who faces it has the larger x.
    points[..., 2], points[0, 0, 8, 0], points[0, 0, 4, 0], points[0, 0, 3, 1] = 2.0, 0.3, -0.3, 0.6
    poses = Poses(np.zeros(1), points, np.ones((1, 1, 20), np.float32), np.array([1]), "kinect20", None)
    pixels = projected(poses).keypoints[0, 0]
    assert pixels[4, 0] > pixels[8, 0]
    assert pixels[3, 1] < pixels[4, 1]  # the head is above
    assert projected(projected(poses)).frame_size == (480, 640)


def test_a_part_of_a_sequence_begins_at_its_start():
    times = np.arange(10) / 10
    points = np.zeros((10, 1, 20, 3), np.float32) + np.arange(10, dtype=np.float32)[:, None, None, None]
    poses = Poses(times, points, np.ones((10, 1, 20), np.float32), np.array([1]), "kinect20", None, fps=10.0)
    part = cut(poses, (0.3, 0.6))
    np.testing.assert_allclose(part.times, [0, 0.1, 0.2])
    np.testing.assert_allclose(part.keypoints[:, 0, 0, 0], [3, 4, 5])


@pytest.fixture
def answers():
    p = np.full((4, len(CLASSES)), 0.01)
    said = ("wave", "clap", NOTHING_ELSE, NOTHING_ELSE)
    for row, name in zip(p, said, strict=True):
        row[CLASSES.index(name)] = 0.5
    p[2, CLASSES.index("clap")] = 0.3
    truth = ("wave", "wave", "clap", NOTHING_ELSE)
    return Answers(p, ("waveHands", "waveHands", "clapHands", "pull"), truth, ("a", "b", "a", "b"))


def test_rows_score_each_class_all_movements_and_the_rest(answers):
    rows = rows_of("a set", answers)
    assert [row["truth"] for row in rows] == [
        "waveHands = wave", "clapHands = clap", f"pull = {NOTHING_ELSE}", "all movements",
        f"all of {NOTHING_ELSE}",
    ]  # fmt: skip
    right, among = f"right among all {len(CLASSES)}", f"without {NOTHING_ELSE}"
    assert [str(row[right])[:4] for row in rows] == ["50.0", "0.0 ", "100.", "33.3", "100."]
    assert [str(row[among])[:4] for row in rows] == ["50.0", "100.", "", "66.7", ""]


def test_a_missed_goal_is_said(answers):
    windows = np.zeros((2, len(CLASSES)))
    windows[:, CLASSES.index("walk")] = 1
    falls = windows.copy()
    falls[1] = 0
    falls[1, CLASSES.index("fall")] = 1

    class Line:
        def __init__(self, probabilities):
            self.probabilities = probabilities

    lines = {"fall": Line(falls), "daily activity": Line(windows)}
    utkinect, fall = goals_of(answers, lines)
    assert utkinect.endswith("missed")
    assert fall.endswith("met")
    assert fall_row("fall", lines["fall"])[f"right among all {len(CLASSES)}"] == "1 windows called fall"
    assert goals_of(answers, {**lines, "daily activity": Line(falls)})[1].endswith("missed")


def test_weights_made_again_are_held_against_the_interval_of_those_shipped(answers):
    worse = replace(answers, probabilities=np.roll(answers.probabilities, 1, axis=1))
    (met,) = again_goals({"set": answers}, {"set": answers})
    (missed,) = again_goals({"set": answers}, {"set": worse})
    assert met.startswith("set, weights made again: 33.3 % ")
    assert met.endswith("met")
    assert missed.startswith("set, weights made again: 0.0 % ")
    assert missed.endswith("missed")
