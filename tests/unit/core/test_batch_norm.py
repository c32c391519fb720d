from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kinesphere.core.batch_norm import SingleValueNorms, single_clip_norms


def test_one_value_per_channel_takes_the_running_statistics_and_leaves_them() -> None:
    norm = nn.BatchNorm1d(3)
    norm.running_mean = torch.tensor([1.0, 2.0, 3.0])
    x = torch.randn(1, 3, requires_grad=True)
    with SingleValueNorms():
        out = norm(x)
    torch.testing.assert_close(out, norm.eval()(x))
    assert torch.equal(norm.running_mean, torch.tensor([1.0, 2.0, 3.0]))
    out.sum().backward()
    assert (x.grad != 0).all()


@pytest.mark.parametrize("shape", [(2, 3), (1, 3, 2), (1, 3, 1, 1, 2)])
def test_more_values_are_normalised_by_themselves(shape: tuple[int, ...]) -> None:
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 5: nn.BatchNorm3d}[len(shape)]
    one, other, x = kind(3), kind(3), torch.randn(shape)
    with single_clip_norms(1):
        inside = one(x)
    assert torch.equal(inside, other(x))
    assert torch.equal(one.running_var, other.running_var)


def test_a_norm_without_running_statistics_is_refused_as_ever() -> None:
    with SingleValueNorms(), pytest.raises(ValueError, match="more than 1 value per channel"):
        F.batch_norm(torch.randn(1, 3), None, None, training=True)
