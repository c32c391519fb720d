from __future__ import annotations

import pytest
import torch
from torch import nn

from kinesphere.core.bf16_convolution import sound_convolutions

# frames, height, kernel (time, space), stride: those that oneDNN gets wrong, and some that it does not.
CASES = [
    (2, 7, (3, 3), 1), (2, 4, (5, 1), 1), (4, 4, (5, 3), 1), (3, 1, (3, 3), 2), (2, 2, (3, 3), 2),
    (8, 1, (1, 3), 2), (8, 8, (3, 3), 1), (5, 7, (3, 3), 2), (1, 4, (3, 3), 1),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("channels_last", [True, False])
def test_bf16_gradients_agree_with_fp64(
    case: tuple[int, int, tuple[int, int], int], channels_last: bool
) -> None:
    frames, side, (time, space), stride = case
    torch.manual_seed(0)
    layer = nn.Conv3d(16, 16, (time, space, space), stride, (time // 2, space // 2, space // 2))
    reference = nn.Conv3d(16, 16, (time, space, space), stride, layer.padding).double()
    reference.load_state_dict(layer.state_dict())
    x = torch.randn(3, 16, frames, side, side)
    expected = reference(x.double())
    expected.square().sum().backward()
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
        layer = layer.to(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", torch.bfloat16), sound_convolutions("cpu"):
        y = layer(x)
    y.float().square().sum().backward()
    assert y.shape == expected.shape
    torch.testing.assert_close(y.double(), expected, atol=0.05, rtol=0.05)
    assert layer.weight.grad is not None
    assert reference.weight.grad is not None
    error = (layer.weight.grad.double() - reference.weight.grad).abs().max()
    assert error < 0.02 * reference.weight.grad.abs().max()


def test_flat_convolution_with_a_single_output() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 16, 3, 2, 1)
    x = torch.randn(2, 16, 1, 1)
    with torch.autocast("cpu", torch.bfloat16), sound_convolutions("cpu"):
        y = layer(x)
    y.float().square().sum().backward()
    torch.testing.assert_close(y.float(), layer(x), atol=0.02, rtol=0.02)
    assert layer.weight.grad is not None
    assert layer.weight.grad.isfinite().all()


def test_fp32_is_left_alone() -> None:
    layer = nn.Conv3d(2, 2, 3, padding=1)
    x = torch.randn(1, 2, 2, 4, 4)
    with sound_convolutions("cpu"):
        assert torch.equal(layer(x), layer(x))
    with torch.autocast("cpu", torch.bfloat16), sound_convolutions("cuda"):
        assert layer(x).shape == x.shape
