"""Models of poses see the joints of one person alone, whoever found where the people are."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.clips.clip import Clip
from kinesphere.clips.modalities.pose.file import SUFFIX, write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.skeleton import COCO17
from kinesphere.clips.source import WrappedSource
from kinesphere.clips.spec import ClipSpec, Sampling, Views
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.predict.people import CropRules, PeopleSettings, people_timelines
from kinesphere.predict.people.crops import PeopleClips
from kinesphere.video import Video

from .conftest import FPS, FRAMES, SIZE, Colours, squares

SPEC = ClipSpec(
    Sampling("uniform", 4), size=(64, 64), modality="pose", resize="letterbox", skeleton="coco17", people=2,
    mean=(0.5, 0.5), std=(0.5, 0.5),
)  # fmt: skip


class Joints(Colours):
    """Keeps what it sees."""

    def probabilities(self, inputs: object, views: object = None) -> torch.Tensor:
        (joints,) = inputs  # type: ignore[misc]
        self.seen += list(joints)
        return torch.tensor([[0.75, 0.25]]).repeat(len(joints), 1)


@pytest.fixture
def posed(passing: Path, tmp_path: Path) -> Path:
    """The video with a pose file: a grid of joints within each square; the second person is found first."""
    video = Path(shutil.copy(passing, tmp_path / "passing.mp4"))
    grid = np.stack(np.meshgrid(np.linspace(0.1, 0.9, 5), np.linspace(0.1, 0.9, 4)), -1).reshape(-1, 2)[:17]
    people = []
    for track in squares()[::-1]:
        low, extent = track.boxes[:, None, :2], (track.boxes[:, 2:] - track.boxes[:, :2])[:, None]
        people.append(low + grid * extent)
    keypoints = np.stack(people, 1).astype(np.float32)
    poses = Poses(
        np.arange(FRAMES) / FPS, keypoints, np.ones((FRAMES, 2, 17), np.float32), np.array([4, 9]),
        COCO17.name, SIZE, fps=FPS,
    )  # fmt: skip
    write_poses(poses, Extracts().place(video, SUFFIX))
    return video


def clips_of(model: Joints, count: int) -> list[Clip]:
    return [Clip(x[0], np.arange(4) / 4, (64, 64), "pose", skeleton="coco17") for x in model.seen[:count]]


def test_joints_of_one_person_fill_its_own_crop(posed: Path) -> None:
    model = Joints(SPEC)
    found = people_timelines(model, str(posed), squares(), settings=PeopleSettings(0.5, 0.5, CropRules(1.0)))
    assert [each.person for each in found] == [1, 2]
    assert not any(each.timeline.nobody.any() for each in found)
    for joints in torch.stack(model.seen):
        assert (joints[0, ..., 0, :, 2] > 0).all()  # one person in the first of two places
        assert not joints[0, ..., 1, :, :].any()
        inside = joints[0, ..., 0, :, :2]
        assert 0 <= inside.min() < inside.max() <= 64
        assert (
            inside[..., 1].amax() - inside[..., 1].amin() > 30
        )  # of 64: it is wider than high, since it moves
    # The red square is the person 9 of the poses: it goes to the right in its crop as in the picture.
    right = model.seen[0][0, :, 0, :, 0].mean(1)
    left = model.seen[1][0, :, 0, :, 0].mean(1)
    assert (right.diff() > 0).all()
    assert (left.diff() < 0).all()
    np.testing.assert_allclose(right.diff().numpy(), right.diff().mean(), rtol=0.05)


def test_people_of_a_pose_file_are_tracks(posed: Path) -> None:
    found = people_timelines(Joints(SPEC), str(posed), settings=PeopleSettings(1, 1))
    assert [each.person for each in found] == [4, 9]
    assert found.poses is not None
    truth = dict(zip((9, 4), squares(), strict=True))
    for each in found:
        assert len(each.track) == FRAMES
        assert np.abs(each.track.boxes - truth[each.person].boxes).max() < 8  # enlarged to the body
    # Pixels are asked about in the same way.
    assert [p.timeline[0].top(1)[0][0] for p in people_timelines(Colours(), str(posed))] == ["blue", "red"]


def test_somebody_without_joints_has_no_answer(posed: Path) -> None:
    one, _ = squares()
    elsewhere = replace(one, boxes=one.boxes + np.array([0.0, 52, 0, 52]), identity=3)
    with pytest.warns(UserWarning, match="nobody is seen between"):
        found = people_timelines(Joints(SPEC), str(posed), [elsewhere, one], settings=PeopleSettings(1, 1))
    assert found[1].timeline.nobody.tolist() == [False, False]
    assert found[3].timeline.nobody.any()


def test_files_that_cannot_be_taken_apart_are_refused(passing: Path) -> None:
    spec = ClipSpec(Sampling("uniform", 4), size=(32, 32), modality="mask", mean=(0.5,), std=(0.5,))
    with (
        WrappedSource(Video.open(passing)) as video,
        pytest.raises(InvalidAnnotation, match=r"Masks cannot be taken apart by person, and the model sees"),
    ):
        PeopleClips(video, [spec], [], [], Views(), CropRules())
