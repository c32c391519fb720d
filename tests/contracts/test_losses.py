"""Every registered loss against its promises."""

from __future__ import annotations

from functools import partial
from importlib.metadata import EntryPoint

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.core import registry
from kinesphere.core.errors import InvalidSetting
from kinesphere.train.losses import LOSSES, LossContext, LossFunction, make_loss

B, K = 6, 4
COUNTS = torch.tensor([40, 9, 3, 0])
TARGETS = torch.tensor([0, 1, 2, 3, 0, 1])


def logits(scale: float = 1.0) -> Tensor:
    return scale * torch.randn(B, K, generator=torch.Generator().manual_seed(3))


def several() -> Tensor:
    return torch.tensor(
        [[1.0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0]]
    )


def accepted(name: str, multi: bool) -> bool:
    try:
        make_loss(name, LossContext(COUNTS, multi))
    except InvalidSetting:
        return False
    return True


@pytest.fixture(params=[(n, m) for n in LOSSES for m in (False, True) if accepted(n, m)], ids=str)
def kind(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """A loss, and whether clips carry several labels."""
    name, multi = request.param
    return name, multi


def made(kind: tuple[str, bool], smoothing: float = 0.0) -> LossFunction:
    return make_loss(kind[0], LossContext(COUNTS, kind[1], smoothing))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("scale", [0.0, 1.0, 300.0])
def test_value_and_gradients_are_finite(kind: tuple[str, bool], scale: float, smoothing: float) -> None:
    x = logits(scale).requires_grad_()
    value = made(kind, smoothing)(x, several() if kind[1] else TARGETS)
    value.backward()
    assert value.shape == ()
    assert value.isfinite()
    assert value >= 0
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_hard_labels_are_one_hot_rows(kind: tuple[str, bool], smoothing: float) -> None:
    loss = made(kind, smoothing)
    torch.testing.assert_close(loss(logits(), TARGETS), loss(logits(), F.one_hot(TARGETS, K)))


def test_a_batch_is_the_mean_of_its_clips_and_half_precision_is_summed_in_float32(
    kind: tuple[str, bool],
) -> None:
    loss, x, targets = made(kind), logits(), several() if kind[1] else TARGETS
    alone = torch.stack([loss(x[i : i + 1], targets[i : i + 1]) for i in range(B)])
    torch.testing.assert_close(loss(x, targets), alone.mean())
    half = loss(x.bfloat16(), targets)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, loss(x.bfloat16().float(), targets))


def test_right_answers_cost_less(kind: tuple[str, bool]) -> None:
    rows = several() if kind[1] else F.one_hot(TARGETS, K).float()
    loss = made(kind)
    assert loss(4 * (2 * rows - 1), rows) < loss(logits(), rows) < loss(-4 * (2 * rows - 1), rows)


def test_soft_labels_lie_between_the_hard_ones() -> None:
    for name in LOSSES:
        loss = make_loss(name, LossContext(torch.full((K,), 5)))
        ends = [float(loss(logits(), TARGETS)), float(loss(logits(), TARGETS.flip(0)))]
        half = (F.one_hot(TARGETS, K) + F.one_hot(TARGETS.flip(0), K)) / 2
        assert min(ends) - 1e-6 <= float(loss(logits(), half)) <= max(ends) + 1e-6


def test_a_loss_of_another_package_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOSSES, "_members", {name: LOSSES.get(name) for name in LOSSES})
    entry = EntryPoint("toy", "toys", "kinesphere.losses")
    add = partial(LOSSES.add, "toy", lambda context: lambda x, y: x.square().mean())
    monkeypatch.setattr(EntryPoint, "load", lambda entry: add())
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [entry] if group == "kinesphere.losses" else []
    )
    monkeypatch.setattr(LOSSES, "_discovered", False)
    assert make_loss("toy", LossContext(COUNTS))(logits(2), TARGETS) == logits(2).square().mean()


def test_every_kind_of_label_set_has_its_losses() -> None:
    assert {name for name in LOSSES if accepted(name, multi=False)} == set(LOSSES)
    assert {name for name in LOSSES if accepted(name, multi=True)} >= {"bce", "focal"}
