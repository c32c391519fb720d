from __future__ import annotations

import pytest
import torch

from kinesphere.models.layers.nonlocal_block import NonLocalBlock


def formula(block: NonLocalBlock, x: torch.Tensor) -> torch.Tensor:
    """Equation 1 of the paper, position by position, without pooling."""
    theta, phi, g = (part.flatten(2)[0] for part in (block.theta(x), block.phi(x), block.g(x)))
    affinity = theta.T @ phi
    if block.pairwise == "dot_product":
        weights = affinity / affinity.shape[1]
    else:
        weights = (affinity * block.scale).exp()
        weights = weights / weights.sum(1, keepdim=True)
    y = (weights @ g.T).T.reshape(1, -1, *x.shape[2:])
    return x + block.bn(block.out(y))


@pytest.mark.parametrize("pairwise", ["gaussian", "embedded_gaussian", "dot_product"])
@pytest.mark.parametrize("scaled", [False, True])
def test_block_is_the_papers_formula(pairwise, scaled):
    torch.manual_seed(0)
    block = NonLocalBlock(8, pairwise=pairwise, pool=(1, 1, 1), scaled=scaled).eval()
    torch.nn.init.normal_(block.bn.weight)
    x = torch.randn(1, 8, 3, 4, 5)
    torch.testing.assert_close(block(x), formula(block, x), rtol=1e-4, atol=1e-5)


def test_fresh_block_is_the_identity():
    x = torch.randn(2, 8, 2, 4, 4)
    assert torch.equal(NonLocalBlock(8)(x), x)


def test_pooling_first_or_last_differ():
    torch.manual_seed(0)
    first, last = (NonLocalBlock(8, pool_first=flag).eval() for flag in (True, False))
    last.load_state_dict(first.state_dict())
    for block in (first, last):
        torch.nn.init.ones_(block.bn.weight)
    x = torch.randn(1, 8, 2, 4, 4)
    assert first(x).shape == last(x).shape == x.shape
    assert not torch.allclose(first(x), last(x))
