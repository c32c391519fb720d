"""What the network that sees changes must not depend on, and what it must."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kinesphere.models.zoo.kine import Changes, KineNet


@pytest.fixture(scope="module")
def net() -> KineNet:
    torch.manual_seed(0)
    return KineNet(3, width=4, motion=True).eval()


def square(x: int, background: Tensor, shade: float) -> Tensor:
    """A square at column `x` before a background (3, 24, 32)."""
    frame = background.clone()
    frame[:, 8:16, x : x + 8] = shade
    return frame


def moving(background: Tensor, shade: float = 1.0) -> Tensor:
    """A clip (1, 8, 3, 24, 32) in which the square goes to the right."""
    return torch.stack([square(2 * t, background, shade) for t in range(8)])[None]


@torch.inference_mode()
def test_a_still_clip_gives_the_same_answer_whatever_its_picture(net: KineNet) -> None:
    torch.manual_seed(1)
    one, other = (torch.randn(1, 1, 3, 24, 32).expand(1, 8, 3, 24, 32) for _ in range(2))
    assert torch.equal(Changes()(one)[:, :, :2], torch.zeros(1, 8, 2, 24, 32))
    torch.testing.assert_close(net(one), net(other), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_what_stands_still_and_the_sign_of_a_contrast_vanish(net: KineNet) -> None:
    dark = torch.full((3, 24, 32), -1.0)
    furnished = dark.clone()
    furnished[:, 18:24] = 0.7  # below the way of the square
    torch.testing.assert_close(net(moving(dark)), net(moving(furnished)), atol=1e-5, rtol=0)
    torch.testing.assert_close(net(moving(dark)), net(moving(-dark, -1.0)), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_time_and_motion_count(net: KineNet) -> None:
    clip = moving(torch.full((3, 24, 32), -1.0))
    still = clip[:, :1].expand_as(clip)
    assert (net(clip) - net(still)).abs().max() > 1e-4
    assert (net(clip) - net(clip[:, ::2].repeat_interleave(2, 1))).abs().max() > 1e-4


def test_the_second_channel_shows_a_fast_thing_where_it_is_now() -> None:
    background = torch.full((3, 24, 72), -1.0)
    clip = torch.stack([square(8 * t, background, 1.0) for t in range(8)])[None]
    rows = Changes()(clip)[0, 4, :2].amax(dim=1) > 0.5
    assert rows[0].nonzero().flatten().tolist() == list(range(24, 40))
    assert rows[1].nonzero().flatten().tolist() == list(range(32, 40))
