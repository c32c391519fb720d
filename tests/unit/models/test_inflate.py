from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.models.weights.inflate import adapt_channels, fit_image_state, inflate


@settings(deadline=None, max_examples=30)
@given(length=st.integers(1, 7), how=st.sampled_from(["mean", "centre"]), size=st.sampled_from([1, 3, 5]))
def test_a_boring_video_gives_the_image_answer(length, how, size):
    torch.manual_seed(length)
    weight, frame = torch.randn(4, 3, size, size), torch.randn(2, 3, 9, 9)
    video = frame.unsqueeze(2).expand(-1, -1, length, -1, -1)  # as long as the kernel: one valid step
    answer = F.conv3d(video, inflate(weight, length, how))
    assert torch.allclose(answer[:, :, 0], F.conv2d(frame, weight), atol=1e-4)


def test_centre_inflation_answers_the_middle_frame():
    weight, video = torch.randn(4, 3, 3, 3), torch.randn(1, 3, 5, 9, 9)
    answer = F.conv3d(video, inflate(weight, 5, "centre"))
    assert torch.allclose(answer[:, :, 0], F.conv2d(video[:, :, 2], weight), atol=1e-5)


@given(channels=st.integers(1, 20))
def test_grey_images_keep_their_answer_per_channel(channels):
    weight = torch.randn(4, 3, 3, 3)
    adapted = adapt_channels(weight, channels)
    assert adapted.shape == (4, channels, 3, 3)
    assert torch.allclose(adapted.mean(1), weight.mean(1), atol=1e-6)
    assert torch.equal(adapt_channels(weight, 3), weight)


def test_an_image_state_fits_a_flow_network():
    image = {"conv1.weight": torch.randn(8, 3, 7, 7), "bn1.bias": torch.randn(8)}
    own = {"conv1.weight": torch.empty(8, 2, 5, 7, 7), "bn1.bias": torch.empty(8)}
    fitted = fit_image_state(image, own)
    assert fitted["conv1.weight"].shape == (8, 2, 5, 7, 7)
    assert torch.equal(fitted["bn1.bias"], image["bn1.bias"])


def test_what_does_not_fit_is_named():
    own = {"a": torch.empty(8), "b": torch.empty(4, 3, 3, 3, 3)}
    with pytest.raises(InvalidCheckpoint, match=r"3 image tensors fit nowhere: a, b, c"):
        fit_image_state({"a": torch.ones(7), "b": torch.ones(4, 3, 5, 5), "c": torch.ones(1)}, own)
    with pytest.raises(InvalidSetting, match=r"takes a 2D kernel .* got shape \(2, 2\) and 3"):
        inflate(torch.ones(2, 2), 3)
    with pytest.raises(InvalidSetting, match="at least one input channel; got 0"):
        adapt_channels(torch.ones(2, 3, 1, 1), 0)
