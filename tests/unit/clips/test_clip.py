from __future__ import annotations

import numpy as np
import pytest
import torch
from clip_fakes import noise_clip

from kinesphere.clips import Clip, stack
from kinesphere.core.errors import InvalidClip


@pytest.mark.parametrize(
    ("shape", "modality", "match"),
    [
        ((4, 3, 8), "rgb", r"rgb clip is \(T, 3, H, W\)"),
        ((5, 3, 8, 8), "rgb", "a time per frame"),
        ((4, 8, 8, 3), "rgb", r"\(T, 3, H, W\)"),
        ((4, 2, 8, 9), "flow", r"\(T, 2, H, W\)"),
        ((4, 1, 17, 2), "pose", r"\(T, M, J, 3\)"),
    ],
)
def test_contradicting_arrays_refused(shape, modality, match):
    with pytest.raises(InvalidClip, match=match):
        Clip(torch.zeros(shape), np.arange(4.0), (8, 8), modality)


def test_stack_keeps_channels_last_memory():
    clips = [noise_clip(seed=seed) for seed in range(3)]
    batch = stack(clips)
    assert batch.shape == (3, 4, 3, 24, 32)
    assert batch.movedim(-3, -1).is_contiguous()
    assert all(torch.equal(part, clip.data) for part, clip in zip(batch, clips, strict=True))
    # What a 3D network sees after moving its channels forward.
    assert batch.transpose(1, 2).is_contiguous(memory_format=torch.channels_last_3d)


def test_stack_of_poses():
    clip = Clip(torch.rand(4, 2, 17, 3), np.arange(4.0), (8, 8), "pose", skeleton="coco17")
    assert stack([clip, clip]).shape == (2, 4, 2, 17, 3)


def test_stack_refuses_different_shapes():
    with pytest.raises(InvalidClip, match="all have one shape"):
        stack([noise_clip((8, 8)), noise_clip((8, 9))])
    with pytest.raises(InvalidClip, match="all have one shape"):
        stack([])


def test_frames_share_memory():
    clip = noise_clip()
    assert np.shares_memory(clip.frames(), clip.data.numpy())
    assert clip.frames().shape == (4, 24, 32, 3)


def test_clips_are_sliced_in_time_and_shown_by_shape():
    clip = noise_clip()
    assert torch.equal(clip[1:3].data, clip.data[1:3])
    assert clip[1:3].times.tolist() == clip.times[1:3].tolist()
    assert repr(clip) == "Clip(data=uint8 (4, 3, 24, 32), times=float64 (4,), frame_size=(24, 32))"
