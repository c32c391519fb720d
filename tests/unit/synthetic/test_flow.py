"""The mannequin's true flow."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from kinesphere.clips.modalities.flow.methods import estimator, grey
from kinesphere.synthetic import MannequinSettings, Rendered, plan_clip, render_clip

SETTINGS = MannequinSettings(
    classes=("wave", "walk"), clips_per_class=2, splits=(1, 0, 0), size=(120, 160), duration_s=(1.0, 1.0),
    performers=2, scenes=2, noise=0, shutter=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def walking() -> Rendered:
    return render_clip(plan_clip(SETTINGS, "walk", "train", 0), replace(SETTINGS, flow=True))


def test_flow_comes_on_request_and_changes_nothing_else(walking: Rendered) -> None:
    plain = render_clip(plan_clip(SETTINGS, "walk", "train", 0), SETTINGS)
    assert plain.ground_truth.flow is None
    assert np.array_equal(plain.frames, walking.frames)
    assert walking.ground_truth.flow is not None
    assert walking.ground_truth.flow.shape == (15, 2, 120, 160)
    assert walking.ground_truth.flow.dtype == np.float32
    assert np.array_equal(walking.ground_truth.flow[-1], walking.ground_truth.flow[-2])


def test_joints_go_where_the_flow_of_their_pixels_says(walking: Rendered) -> None:
    joints, flow, mask = (
        walking.ground_truth.joints2d[:, 0],
        walking.ground_truth.flow,
        walking.ground_truth.mask[:, 0],
    )
    assert flow is not None
    errors = []
    for frame in range(len(joints) - 1):
        for joint in (5, 6, 11, 12):  # shoulders and hips: seen through the trunk's surface
            x, y, inside = joints[frame, joint]
            row, column = round(float(y)), round(float(x))
            if inside and mask[frame, row, column]:
                step = joints[frame + 1, joint, :2] - joints[frame, joint, :2]
                errors.append(np.linalg.norm(flow[frame, :, row, column] - step))
    assert len(errors) > 20
    assert np.median(errors) < 0.5


def test_the_next_frame_fetched_along_the_flow_looks_like_this_one(walking: Rendered) -> None:
    frames, flow = walking.frames.transpose(0, 2, 3, 1), walking.ground_truth.flow
    assert flow is not None
    columns, rows = np.meshgrid(np.arange(160, dtype=np.float32), np.arange(120, dtype=np.float32))
    still = fetched = 0.0
    for frame in range(len(frames) - 1):
        body = walking.ground_truth.mask[frame].any(0)
        back = cv2.remap(frames[frame + 1], columns + flow[frame, 0], rows + flow[frame, 1], cv2.INTER_LINEAR)
        still += np.abs(frames[frame + 1].astype(int) - frames[frame])[body].mean()
        fetched += np.abs(back.astype(int) - frames[frame])[body].mean()
    # What limbs cover in the next frame cannot be fetched.
    assert fetched < 0.6 * still


def test_estimated_flow_agrees_on_the_body(walking: Rendered) -> None:
    flow = walking.ground_truth.flow
    assert flow is not None
    pictures = grey(walking.frames.transpose(0, 2, 3, 1))
    estimate = estimator("dis")
    found = still = 0.0
    for frame in range(len(pictures) - 1):
        body = walking.ground_truth.mask[frame].any(0)
        truth = flow[frame].transpose(1, 2, 0)
        field = estimate(pictures[frame], pictures[frame + 1])
        found += np.linalg.norm(field - truth, axis=-1)[body].mean()
        still += np.linalg.norm(truth, axis=-1)[body].mean()
    assert found < 0.7 * still


def test_what_stands_still_moves_with_the_camera_only() -> None:
    settings = MannequinSettings(
        classes=("wave",), clips_per_class=1, splits=(1, 0, 0), size=(64, 80), performers=1, scenes=1,
        shake=0, flow=True,
    )  # fmt: skip
    steady = render_clip(plan_clip(settings, "wave", "train", 0), settings).ground_truth
    assert steady.flow is not None
    near = cv2.dilate(steady.mask.any((0, 1)).astype(np.uint8), np.ones((5, 5)))  # quads round up at edges
    away = np.broadcast_to(near == 0, steady.flow.shape)
    assert np.abs(steady.flow[away]).max() < 1e-3
