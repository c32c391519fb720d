"""Poses in files of anybody: COCO's average precision, mean similarity and PCK, and hostile files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.annotations.people import People, PersonPose, read_people
from kinesphere.apps.cli import main
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.evaluate.files.poses import score_poses
from kinesphere.evaluate.metrics.poses import COCO_SIGMAS

BOX = (0.0, 0.0, 100.0, 200.0)


def person(image: str, shift: float = 0, *, visible: int = 2, **options: Any) -> PersonPose:
    """17 joints on a diagonal, `shift` px to the right."""
    joints = np.stack([np.linspace(0, 90, 17) + shift, np.linspace(0, 190, 17), np.full(17, visible)], 1)
    return PersonPose(image, joints, 10_000.0, BOX, **options)


def people(*poses: PersonPose, images: tuple[str, ...] = ()) -> People:
    return People(poses, dict.fromkeys((*images, *(each.image for each in poses)), ""))


def test_values_by_hand() -> None:
    truth = people(person("1"), person("2"), images=("3",))
    similarity = np.exp(-(5.0**2) / (2 * COCO_SIGMAS) ** 2 / 10_000 / 2).mean()
    found = score_poses(
        people(person("1", score=0.9), person("2", 5, score=0.8), person("3", score=0.1)), truth
    )
    scores = {name: score.value for name, score in found.scores.items()}
    assert scores["oks"] == pytest.approx((1 + similarity) / 2)
    assert 0.75 < similarity < 0.95
    assert (scores["ap@0.5"], scores["ap@0.75"]) == pytest.approx((1, 1))
    # At similarities above that of the second, one of two is found: 51 of 101 recalls.
    steps = sum(threshold > similarity for threshold in np.linspace(0.5, 0.95, 10))
    assert scores["ap"] == pytest.approx((10 - steps + steps * 51 / 101) / 10)
    assert score_poses(found_at(11), truth, radii=[0.05, 0.06]).scores["pck@0.05"].value == 0
    assert score_poses(found_at(11), truth, radii=[0.05, 0.06]).scores["pck@0.06"].value == 0.5


def found_at(shift: float) -> People:
    return people(person("1", shift))


def test_who_is_ignored_and_what_is_left_out() -> None:
    crowd = person("1", 300, ignored=True, crowd=True)
    truth = people(person("1"), crowd)
    given = people(
        person("1", 300, score=0.9), person("1", 301, score=0.8), person("1", score=0.5), person("x", score=1)
    )  # fmt: skip
    found = score_poses(given, truth)
    assert found.scores["ap"].value == pytest.approx(1)
    assert (found.unknown_videos, found.counts["poses_in_unknown_images"]) == (["x"], 1)
    once = score_poses(given, people(person("1"), person("1", 300, visible=0, ignored=True)))
    assert once.counts["instances_ignored"] == 1
    many = people(*(person("1", i, score=1 - i / 100) for i in range(25)))
    assert score_poses(many, truth).counts["poses_beyond_20_of_an_image"] == 5
    with pytest.raises(InvalidAnnotation, match="Nobody is annotated with a labelled joint"):
        score_poses(given, people(crowd))
    few = PersonPose("1", np.ones((5, 3)), 10.0)
    with pytest.raises(InvalidAnnotation, match="The results have 5 joints a person and the annotations 17"):
        score_poses(people(few), truth)
    assert score_poses(people(few), people(few)).rules[-1] == "standard deviations: COCO's mean"


def crowd_of(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Annotations and results of 40 random images, with crowds and unlabelled people."""
    g = np.random.default_rng(seed)
    images, annotations, found = [], [], []
    for i in range(40):
        images.append({"id": i, "width": 640, "height": 480, "file_name": f"v{i // 10}/{i}.jpg"})
        for _ in range(g.integers(0, 5)):
            centre, size = g.uniform(100, 400, 2), g.uniform(40, 150)
            xy, flags = centre + g.uniform(-0.5, 0.5, (17, 2)) * size, g.integers(0, 3, 17)
            if g.random() < 0.1:
                flags[:] = 0
            joints = np.concatenate([xy * (flags[:, None] > 0), flags[:, None]], 1)
            annotations.append({
                "image_id": i, "iscrowd": int(g.random() < 0.05), "keypoints": joints.ravel().tolist(),
                "bbox": [*(centre - size / 2), size, size], "area": size * size * 0.6,
            })  # fmt: skip
            for _ in range(g.integers(0, 3)):
                near = xy + g.normal(0, size * g.choice([0.02, 0.06, 0.1]), (17, 2))
                joints = np.concatenate([near, np.ones((17, 1))], 1).ravel().tolist()
                found.append({"image_id": i, "keypoints": joints, "score": float(g.random())})
    return {"images": images, "annotations": annotations}, found


@pytest.mark.parametrize(
    ("seed", "wanted"),
    [(0, (0.21046117, 0.46258407, 0.13068713)), (2, (0.22558181, 0.40903705, 0.16403083))],
)
def test_average_precision_is_that_of_pycocotools(
    seed: int, wanted: tuple[float, ...], tmp_path: Path
) -> None:
    """Values of pycocotools 2.0.11 for the same files."""
    truth, given = tmp_path / "truth.json", tmp_path / "found.json"
    for path, content in zip((truth, given), crowd_of(seed), strict=True):
        path.write_text(json.dumps(content))
    scores = score_poses(read_people(given), read_people(truth)).scores
    assert [scores[name].value for name in ("ap", "ap@0.5", "ap@0.75")] == pytest.approx(wanted, abs=1e-8)


def entry(**changed: Any) -> dict[str, Any]:
    return {"image_id": 1, "keypoints": [9.0, 9, 2] * 17, "bbox": [0, 0, 9, 9], "area": 50} | changed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": 3, "annotations": []}, "`images` should be a list of images with an `id`"),
        ({"images": []}, "is no COCO keypoint file: it needs `annotations`"),
        ([3], "entry 0: people have `image_id` and `keypoints`; got"),
        (
            [entry(), entry(keypoints=[1, 2])],
            "entry 1: keypoints are x, y and visibility of each joint; got 2",
        ),
        ([entry(keypoints=["a"] * 51)], "entry 0: keypoints should be finite numbers"),
        ([entry(keypoints=[10**400] * 51)], "entry 0: keypoints should be finite numbers"),
        ([entry(bbox=[0, 0, -1, 1])], "entry 0: `bbox` is left, top, width, height"),
        ([entry(score=True)], "entry 0: area and score should be finite numbers"),
        ([entry(image_id=[1])], "entry 0: an image is named by a number or a short text"),
        ([entry(), entry(keypoints=[1, 2, 3])], "has people of 1 and 17 joints"),
    ],
)
def test_what_is_wrong_is_named(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidAnnotation, match=message):
        read_people(path)


def test_the_command_takes_files_of_coco(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, given = tmp_path / "truth.json", tmp_path / "found.json"
    images = [{"id": 1, "file_name": "v/1.jpg"}, {"id": 2, "file_name": "w/2.jpg"}]
    truth.write_text(json.dumps({"images": images, "annotations": [entry(), entry(image_id=2)]}))
    given.write_text(json.dumps([entry(score=0.5), entry(image_id=2, score=0.4)]))
    words = ["score", "poses", str(given), "--truth", str(truth), "--pck", "0.1"]
    main.app([*words, "--json"], standalone_mode=False)
    answer = json.loads(capsys.readouterr().out)
    assert answer["scores"] == pytest.approx({"ap": 1, "ap@0.5": 1, "ap@0.75": 1, "oks": 1, "pck@0.1": 1})
    assert answer["counts"]["videos"] == 2
    main.app(words, standalone_mode=False)
    assert "PCK@0.1" in capsys.readouterr().out
