from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidSetting, UnknownName
from kinesphere.train.losses import (
    LOSSES,
    LossContext,
    dense_targets,
    effective_number_weights,
    ldam_margins,
    loss_at,
    make_loss,
)

LOGITS = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])
ROWS = torch.softmax(torch.randn(8, 5, generator=torch.Generator().manual_seed(1)), -1)
HOT = (torch.rand(8, 5, generator=torch.Generator().manual_seed(2)) > 0.5).float()
COUNTS = torch.tensor([100, 50, 10, 5, 1])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("targets", [TARGETS, ROWS])
def test_cross_entropy_is_torchs(smoothing: float, targets: torch.Tensor) -> None:
    loss = make_loss("cross_entropy", LossContext(COUNTS, label_smoothing=smoothing))
    expected = F.cross_entropy(LOGITS, targets, label_smoothing=smoothing)
    torch.testing.assert_close(loss(LOGITS, targets), expected)


def test_class_balanced_weighs_by_the_effective_number() -> None:
    beta = 0.99
    weights = torch.tensor([(1 - beta) / (1 - beta**n) for n in COUNTS.tolist()])
    weights *= len(weights) / weights.sum()
    torch.testing.assert_close(effective_number_weights(COUNTS, beta).float(), weights)
    loss = make_loss("class_balanced", LossContext(COUNTS, beta=beta))
    expected = (F.cross_entropy(LOGITS, TARGETS, reduction="none") * weights[TARGETS]).mean()
    torch.testing.assert_close(loss(LOGITS, TARGETS), expected)


@given(
    counts=st.lists(st.integers(0, 10**6), min_size=2, max_size=20).filter(
        lambda c: sum(n > 0 for n in c) > 0
    ),
    beta=st.sampled_from([0.0, 0.9, 0.999, 0.999999]),
)
def test_weights_are_finite_fall_with_the_count_and_average_one(counts: list[int], beta: float) -> None:
    weights = effective_number_weights(torch.tensor(counts), beta)
    present = torch.tensor(counts) > 0
    assert weights.isfinite().all()
    assert (weights[~present] == 0).all()
    assert weights[present].mean() == pytest.approx(1)
    order = torch.tensor(counts)[present].argsort()
    assert (weights[present][order].diff() <= 1e-9).all()


def test_focal_reduces_to_cross_entropy_and_follows_its_formula() -> None:
    plain = make_loss("focal", LossContext(COUNTS, gamma=0.0))
    torch.testing.assert_close(plain(LOGITS, TARGETS), F.cross_entropy(LOGITS, TARGETS))
    focal = make_loss("focal", LossContext(COUNTS, gamma=2.0))
    p = LOGITS.softmax(-1).gather(1, TARGETS[:, None])[:, 0]
    torch.testing.assert_close(focal(LOGITS, TARGETS), (-((1 - p) ** 2) * p.log()).mean())


def test_logits_are_adjusted_by_the_shares_of_the_file() -> None:
    weighted = LOGITS.double().exp() * COUNTS
    by_hand = -(weighted / weighted.sum(1, keepdim=True)).gather(1, TARGETS[:, None]).log().mean()
    for name in ("balanced_softmax", "logit_adjusted"):
        loss = make_loss(name, LossContext(COUNTS))
        torch.testing.assert_close(loss(LOGITS, TARGETS), by_hand.float())
    half = LOGITS + 0.5 * (COUNTS / COUNTS.sum()).log()
    adjusted = make_loss("logit_adjusted", LossContext(COUNTS, tau=0.5))
    torch.testing.assert_close(adjusted(LOGITS, TARGETS), F.cross_entropy(half, TARGETS))
    never = make_loss("balanced_softmax", LossContext(torch.tensor([100, 50, 10, 5, 0])))
    assert never(LOGITS, TARGETS).isfinite()


@pytest.mark.parametrize("name", ["balanced_softmax", "logit_adjusted", "class_balanced"])
def test_of_classes_with_equal_counts_the_long_tails_losses_are_cross_entropy(name: str) -> None:
    loss = make_loss(name, LossContext(torch.full((5,), 7), label_smoothing=0.1))
    torch.testing.assert_close(loss(LOGITS, ROWS), F.cross_entropy(LOGITS, ROWS, label_smoothing=0.1))


def test_focal_for_several_labels() -> None:
    focal = make_loss("focal", LossContext(COUNTS, multi=True, gamma=2.0))
    p = torch.where(HOT > 0, LOGITS.sigmoid(), 1 - LOGITS.sigmoid())
    torch.testing.assert_close(focal(LOGITS, HOT), (-((1 - p) ** 2) * p.log()).mean())


def test_bce_is_torchs() -> None:
    loss = make_loss("bce", LossContext(COUNTS, multi=True))
    torch.testing.assert_close(loss(LOGITS, HOT), F.binary_cross_entropy_with_logits(LOGITS, HOT))
    smoothed = make_loss("bce", LossContext(COUNTS, multi=True, label_smoothing=0.2))
    expected = F.binary_cross_entropy_with_logits(LOGITS, HOT * 0.8 + 0.1)
    torch.testing.assert_close(smoothed(LOGITS, HOT), expected)


def by_hand(logits: torch.Tensor, target: int, margins: list[float]) -> float:
    """LDAM of one sample: the margin is taken from the logit of its class alone."""
    z = logits.double().tolist()
    z[target] -= margins[target]
    return math.log(sum(math.exp(each) for each in z)) - z[target]


def test_ldam_is_the_formula_by_hand() -> None:
    margins = [0.4 * n**-0.25 for n in COUNTS.tolist()]  # the rarest class has one sample: 0.4
    torch.testing.assert_close(ldam_margins(COUNTS, 0.4), torch.tensor(margins, dtype=torch.float64))
    cosines, scale = LOGITS.tanh(), 10.0
    loss = make_loss("ldam", LossContext(COUNTS, margin=0.4, scale=scale))
    rows = zip(scale * cosines, TARGETS.tolist(), strict=True)
    expected = np.mean([by_hand(row, target, [scale * m for m in margins]) for row, target in rows])
    assert float(loss(scale * cosines, TARGETS)) == pytest.approx(expected, rel=1e-5)
    assert ldam_margins(torch.tensor([16, 0, 1]), 0.5).tolist() == [0.25, 0.5, 0.5]


@pytest.mark.parametrize("name", ["ldam", "class_balanced"])
def test_classes_are_weighted_from_a_fraction_of_the_steps_on(name: str) -> None:
    context = LossContext(COUNTS, beta=0.99, defer=0.8)
    loss, weights = make_loss(name, context), effective_number_weights(COUNTS, 0.99).float()
    never = make_loss(name, replace(context, defer=1.0, beta=0.0))
    first = torch.stack([never(LOGITS[i : i + 1], TARGETS[i : i + 1]) for i in range(8)])
    torch.testing.assert_close(loss_at(loss, 0.79)(LOGITS, TARGETS), first.mean())
    late = loss_at(loss, 0.8)(LOGITS, TARGETS)
    torch.testing.assert_close(late, (first * weights[TARGETS]).mean())
    torch.testing.assert_close(loss(LOGITS, TARGETS), late)  # what validates
    assert loss_at(never, 0.999)(LOGITS, TARGETS) == first.mean()


def test_with_uniform_priors_and_nothing_else_every_loss_is_cross_entropy() -> None:
    context = LossContext(torch.full((5,), 7), gamma=0.0, margin=0.0, defer=0.0)
    expected = F.cross_entropy(LOGITS, TARGETS)
    for name in ("class_balanced", "balanced_softmax", "logit_adjusted", "focal", "ldam"):
        loss = make_loss(name, context)
        torch.testing.assert_close(loss(LOGITS, TARGETS), expected)
        torch.testing.assert_close(loss_at(loss, 0.0)(LOGITS, TARGETS), expected)
    # Equal margins remain equal margins: LDAM then is cross-entropy with one margin for all.
    margin = make_loss("ldam", replace(context, margin=0.5, scale=2.0))
    torch.testing.assert_close(
        margin(LOGITS, TARGETS), F.cross_entropy(LOGITS - F.one_hot(TARGETS, 5), TARGETS)
    )


def test_the_asymmetric_loss_is_the_formula_by_hand() -> None:
    loss = make_loss("asymmetric", LossContext(COUNTS, multi=True, gamma=4.0, clip=0.05))
    p = LOGITS.double().sigmoid()
    lowered = (p - 0.05).clamp(min=0)
    each = torch.where(HOT > 0, -p.log(), -(lowered**4) * (1 - lowered).log())
    torch.testing.assert_close(loss(LOGITS, HOT), each.mean().float())
    plain = make_loss("asymmetric", LossContext(COUNTS, multi=True, gamma=0.0, clip=0.0))
    torch.testing.assert_close(plain(LOGITS, HOT), F.binary_cross_entropy_with_logits(LOGITS, HOT))


def test_families_add_the_loss_of_their_summed_probabilities() -> None:
    families = torch.tensor([0, 1, 0, 2, 1])
    context = LossContext(COUNTS, families=families, parent_weight=0.5)
    p = LOGITS.double().softmax(-1)
    summed = torch.stack([p[:, families == f].sum(1) for f in range(3)], 1)
    of_families = -summed.gather(1, families[TARGETS][:, None]).log().mean()
    expected = F.cross_entropy(LOGITS, TARGETS) + 0.5 * of_families.float()
    torch.testing.assert_close(make_loss("cross_entropy", context)(LOGITS, TARGETS), expected)
    deferred = make_loss("class_balanced", replace(context, defer=0.5))
    torch.testing.assert_close(loss_at(deferred, 0.0)(LOGITS, F.one_hot(TARGETS, 5)), expected)
    assert loss_at(deferred, 0.5)(LOGITS, TARGETS) != expected


def test_families_are_refused_where_there_are_none() -> None:
    with pytest.raises(InvalidSetting, match=r"no two classes have a parent in common; state data\.parents"):
        make_loss("focal", LossContext(COUNTS, families=torch.arange(5), parent_weight=1.0))
    with pytest.raises(InvalidSetting, match="needs one label per sample, since a family's probability"):
        make_loss("bce", LossContext(COUNTS, multi=True, families=torch.zeros(5), parent_weight=1.0))


@pytest.mark.parametrize("name", ["cross_entropy", "class_balanced", "ldam"])
def test_single_label_losses_refuse_several(name: str) -> None:
    with pytest.raises(InvalidSetting, match=r"needs one label per sample; .* focal or asymmetric"):
        make_loss(name, LossContext(COUNTS, multi=True))


def test_unknown_loss_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean focal"):
        make_loss("focall", LossContext(COUNTS))
    assert set(LOSSES) >= {"cross_entropy", "class_balanced", "focal", "bce"}


def test_dense_targets_are_smoothed() -> None:
    rows = dense_targets(TARGETS, 5, 0.1)
    torch.testing.assert_close(rows.sum(-1), torch.ones(8))
    assert rows.max() == pytest.approx(0.92)


EXTREME = torch.tensor(
    [[200.0, 0, 0, 0, 0], [-200.0, 0, 0, 0, 0], [200.0, -200, 200, 0, 0], [0.0, 0, 0, 0, 0]]
)


@pytest.mark.filterwarnings("ignore:.*not a double precision")
@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", ["cross_entropy", "class_balanced", "focal", "bce"])
def test_gradients_are_numbers_where_probabilities_are_0_or_1(
    name: str, multi: bool, gamma: float, smoothing: float
) -> None:
    if multi and name in ("cross_entropy", "class_balanced"):
        return  # refused
    loss = make_loss(name, LossContext(COUNTS, multi, smoothing, gamma=gamma))
    hot = torch.tensor([[1.0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 1, 0], [0, 0, 0, 0, 0]])
    for targets in (hot,) if multi else (torch.tensor([0, 0, 0, 1]), torch.tensor([1, 1, 1, 1]), hot):
        logits = EXTREME.clone().requires_grad_()
        value = loss(logits, targets)
        value.backward()
        assert value.isfinite()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
    logits = 3 * LOGITS.clone()
    targets = HOT if multi else TARGETS
    assert torch.autograd.gradcheck(
        lambda x: loss(x, targets), logits.requires_grad_(), eps=1e-2, atol=2e-3, rtol=2e-2
    )


def test_focal_of_small_exponents_is_still_the_formula() -> None:
    loss = make_loss("focal", LossContext(COUNTS, gamma=0.5))
    log_p = LOGITS.log_softmax(-1)[torch.arange(8), TARGETS]
    torch.testing.assert_close(loss(LOGITS, TARGETS), (-((1 - log_p.exp()) ** 0.5) * log_p).mean())
