from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from clip_fakes import FakeFrames, FakeVideo, noise_clip

from kinesphere.clips import ClipSpec, Sampling, Views
from kinesphere.clips.geometry import Box, plan_frames, view_boxes
from kinesphere.clips.modalities import rgb
from kinesphere.clips.source import duration_of
from kinesphere.core.errors import InvalidClip, InvalidSetting, UnreadableVideo
from kinesphere.video import Video, VideoWriter

SPEC = ClipSpec(Sampling.parse("4x1x1"), (28, 28))


class Gradient(FakeVideo):
    """Every frame's red is the row and its green the column, so that crops tell where they are from."""

    def frames_at(self, times_s, size=None):
        frames = super().frames_at(times_s, size)
        height, width = frames.data.shape[2:]
        frames.data[:, 0] = np.arange(height)[:, None]
        frames.data[:, 1] = np.arange(width)
        return frames


def test_reads_the_centre_of_the_middle_frames():
    (clip,) = rgb.read(FakeVideo(10), SPEC)
    assert clip.data.shape == (4, 3, 28, 28)
    assert clip.data.dtype == torch.uint8
    assert clip.data[:, 0, 0, 0].tolist() == [3, 4, 5, 6]
    assert clip.times == pytest.approx([0.12, 0.16, 0.20, 0.24])
    assert (clip.repeated, clip.flipped) == (0, False)


def test_all_views_are_decoded_by_one_request():
    video = Gradient(100)
    clips = rgb.read(video, SPEC, views=Views(10, 3))
    assert len(clips) == 30
    assert len(video.calls) == 1
    times, size = video.calls[0]
    assert len(times) == 40
    assert size == (28, 37)
    boxes = [box for box, _ in view_boxes((28, 37), (28, 28), 3)]
    for i, clip in enumerate(clips):
        assert clip.data[0, 0, 0, 0] == boxes[i % 3].top
        assert clip.data[0, 1, 0, 0] == boxes[i % 3].left
        assert clip.times[0] == clips[i - i % 3].times[0]
    starts = [round(float(clip.times[0]) * 25) for clip in clips[::3]]
    assert starts == [round(i * 96 / 9) for i in range(10)]


def test_views_multiply_the_samplings_clips():
    assert len(rgb.read(FakeVideo(50), SPEC.with_(sampling=Sampling.parse("4x1x3")), views=Views(2, 1))) == 6


def test_ten_crops_end_with_mirror_images():
    clips = rgb.read(Gradient(10), SPEC.with_(short_side_px=32), views=Views(1, 10))
    assert [clip.flipped for clip in clips] == list(Views(1, 10).flipped)
    for straight, mirrored in zip(clips[:5], clips[5:], strict=True):
        assert torch.equal(straight.data.flip(3), mirrored.data)


def test_training_frames_come_whole_and_larger():
    video = FakeVideo(100)
    random = torch.Generator().manual_seed(1)
    (clip,) = rgb.read(video, SPEC, generator=random, enlarge=8 / 7)
    assert clip.frame_size == plan_frames(video.size, SPEC, enlarge=8 / 7).canvas == (32, 43)
    starts = {int(rgb.read(video, SPEC, generator=random)[0].data[0, 0, 0, 0]) for _ in range(20)}
    assert len(starts) > 10


def test_letterbox_pads_with_the_mean_colour():
    spec = SPEC.with_(resize="letterbox", mean=(0.2, 0.4, 0.6), channels="BGR")
    video = FakeVideo(10)
    (clip,) = rgb.read(video, spec)
    assert video.calls[0][1] == (21, 28)
    assert clip.data[0, :, 0, 0].tolist() == [153, 102, 51]
    assert clip.data[0, 0, 14, 14] == 3
    assert rgb.normalise(clip.data, spec)[0, :, 0, 0].abs().max() < 0.01


def test_short_videos_are_reported():
    (clip,) = rgb.read(FakeVideo(3), SPEC)
    assert clip.data[:, 0, 0, 0].tolist() == [0, 1, 2, 0]
    assert clip.repeated == 1


def test_read_refuses_crops_that_cannot_be():
    with pytest.raises(InvalidSetting, match="Training crops at random"):
        rgb.read(FakeVideo(), SPEC, views=Views(1, 3), generator=torch.Generator())
    with pytest.raises(InvalidSetting, match="resize='stretch' fills the input exactly; use 10x1"):
        rgb.read(FakeVideo(), SPEC.with_(resize="stretch"), views=Views(10, 3))


def test_duration_from_the_frames_when_the_container_states_none():
    assert duration_of(FakeVideo(50, duration_s=None)) == pytest.approx(2.0)
    assert duration_of(FakeVideo(50, fps=None, duration_s=None)) == pytest.approx(2.0)
    assert duration_of(FakeVideo(1, fps=None, duration_s=None)) == pytest.approx(0.04)
    with pytest.raises(UnreadableVideo, match="no frames to sample"):
        duration_of(FakeVideo(0, duration_s=None))
    (clip,) = rgb.read(FakeVideo(50, duration_s=None), SPEC)
    assert clip.data[0, 0, 0, 0] == 23


def test_read_only_frames_are_copied():
    class ReadOnly(FakeVideo):
        def frames_at(self, times_s, size=None):
            frames = super().frames_at(times_s, size)
            frames.data.flags.writeable = False
            return FakeFrames(frames.data, frames.times)

    rgb.read(ReadOnly(10), SPEC)  # pytest would show torch's warning about such memory


def test_crop_is_a_view_and_stays_inside():
    clip = noise_clip((24, 32))
    cut = rgb.crop(clip, Box(2, 3, 10, 20))
    assert torch.equal(cut.data, clip.data[:, :, 2:12, 3:23])
    assert np.shares_memory(cut.data.numpy(), clip.data.numpy())
    with pytest.raises(InvalidClip, match="reaches outside"):
        rgb.crop(clip, Box(20, 0, 10, 10))
    with pytest.raises(InvalidClip, match="reaches outside"):
        rgb.erase(clip, Box(20, 0, 10, 10), SPEC)


@pytest.mark.parametrize("size", [(12, 16), (48, 64), (5, 40), (24, 32)])
def test_resize_keeps_the_mean_and_treats_frames_alike(size):
    clip = noise_clip((24, 32), length=3)
    resized = rgb.resize(rgb.crop(clip, Box(0, 0, 24, 32)), size)
    assert resized.frame_size == size
    assert torch.equal(resized.data[0], resized.data[2])
    assert abs(resized.data.float().mean() - clip.data.float().mean()) < 6


def test_flip_twice_is_nothing():
    clip = noise_clip()
    once = rgb.flip(clip, SPEC)
    assert once.flipped
    assert torch.equal(once.data, clip.data.flip(3))
    twice = rgb.flip(once, SPEC)
    assert not twice.flipped
    assert torch.equal(twice.data, clip.data)


def test_warp_moves_and_fills():
    clip = noise_clip()
    moved = rgb.warp(clip, np.array([[1.0, 0, 5], [0, 1, 2]]), SPEC)
    assert torch.equal(moved.data[:, :, 2:, 5:], clip.data[:, :, :-2, :-5])
    assert (moved.data[:, :, :2] == round(0.45 * 255)).all()


@pytest.mark.parametrize("layout", ["channels last", "channels first", "crop"])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_normalise(layout, channels):
    spec = SPEC.with_(mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0), channels=channels)
    batch = torch.randint(0, 256, (2, 4, 6, 12, 3), dtype=torch.uint8).movedim(-1, -3)
    if layout == "channels first":
        batch = batch.contiguous()
    if layout == "crop":
        batch = batch[..., 1:5, 2:9]
    ordered = batch if channels == "RGB" else batch.flip(-3)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (spec.mean, spec.std))
    result = rgb.normalise(batch, spec)
    torch.testing.assert_close(result, (ordered.float() / 255 - mean) / std, rtol=1e-5, atol=1e-6)
    if layout == "channels last":
        assert result.movedim(-3, -1).is_contiguous()
    assert rgb.normalise(batch, spec, torch.bfloat16).dtype == torch.bfloat16


def test_normalise_refused():
    with pytest.raises(InvalidClip, match="are uint8"):
        rgb.normalise(torch.zeros(3, 4, 4), SPEC)
    with pytest.raises(InvalidClip, match=r"\(\.\.\., 3, H, W\)"):
        rgb.normalise(torch.zeros(4, 4, 3, dtype=torch.uint8), SPEC)


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001)])
def test_a_real_video_gives_the_frames_that_were_asked_for(fps, tmp_path):
    """Each written frame has its own brightness; reading finds them again."""
    path = tmp_path / "steps.mp4"
    with VideoWriter(path, (64, 96), fps) as writer:
        for number in range(40):
            writer.write(np.full((64, 96, 3), 40 + 4 * number, np.uint8))
    with Video.open(path) as video:
        (clip,) = rgb.read(video, SPEC.with_(sampling=Sampling.parse("40x1x1")))
        (middle,) = rgb.read(video, SPEC)
    found = clip.data.float().mean(dim=(1, 2, 3)).numpy()
    assert np.abs(found - (40 + 4 * np.arange(40))).max() < 3
    assert np.abs(middle.data.float().mean(dim=(1, 2, 3)).numpy() - (40 + 4 * np.arange(18, 22))).max() < 3
    assert (clip.repeated, middle.repeated) == (0, 0)
