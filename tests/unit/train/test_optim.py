from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidSetting
from kinesphere.models import create_model
from kinesphere.train.config import OptimizerSection, ScheduleSection
from kinesphere.train.ema import AveragedWeights, recogniser_around
from kinesphere.train.optim import make_optimizer, parameter_groups
from kinesphere.train.schedule import factor, make_schedule

LABELS = ("clap", "jump")


def test_every_parameter_is_in_one_group_and_vectors_do_not_decay() -> None:
    model = create_model("r3d_tiny", LABELS)
    groups = parameter_groups(model, OptimizerSection())
    grouped = [id(p) for group in groups for p in group.parameters]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())
    for group in groups:
        assert all((p.dim() > 1) == (group.weight_decay > 0) for p in group.parameters)


def test_layer_decay_and_head_rate() -> None:
    model = create_model("r3d_tiny", LABELS)
    groups = parameter_groups(model, OptimizerSection(lr=1.0, layer_decay=0.5, head_lr=10.0))
    rates = {group.stage: group.lr for group in groups}
    stages = model.stages
    assert rates == {**{s: 0.5 ** (len(stages) - i) for i, s in enumerate(stages)}, "head": 10.0}


def test_layers_behind_the_last_stage_learn_like_it() -> None:
    model = create_model("x3d_tiny", LABELS)
    groups = parameter_groups(model, OptimizerSection(lr=1.0, layer_decay=0.5, head_lr=10.0))
    rates = {group.stage: group.lr for group in groups}
    assert (rates["stem"], rates["layer4"]) == (0.5**6, 0.5**2)
    assert (rates["conv5"], rates["tail"], rates["head"]) == (0.5, 0.5, 10.0)


def test_frozen_stages_have_no_group() -> None:
    model = create_model("r3d_tiny", LABELS)
    model.freeze(model.stages[-1])
    assert {group.stage for group in parameter_groups(model, OptimizerSection())} == {"head"}
    model.requires_grad_(False)
    with pytest.raises(InvalidSetting, match="Every parameter is frozen"):
        make_optimizer(model, OptimizerSection())


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_optimizers(name: str, kind: type) -> None:
    settings = OptimizerSection.model_validate({"name": name, "lr": 0.1})
    optimizer = make_optimizer(create_model("fc_tiny", LABELS), settings)
    assert type(optimizer) is kind
    if name == "sgd":
        assert optimizer.defaults["nesterov"]
        assert optimizer.defaults["momentum"] == 0.9


def test_cosine_with_warmup() -> None:
    at = factor(ScheduleSection(warmup_epochs=1, floor=0.1), steps=30, steps_per_epoch=4)
    assert [at(i) for i in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert at(4) == pytest.approx(1)
    assert at(29) == pytest.approx(0.1)
    middle = at(4 + 10)
    assert middle == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * 10 / 25)) / 2)


def test_step_and_exponential_and_constant() -> None:
    step = factor(ScheduleSection(name="step", milestones=(1, 2), factor=0.1), 12, 4)
    assert [step(i) for i in (0, 3, 4, 7, 8, 11)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    exponential = factor(ScheduleSection(name="exponential", factor=0.01), 11, 1)
    assert [exponential(i) for i in (0, 5, 10)] == pytest.approx([1, 0.1, 0.01])
    constant = factor(ScheduleSection(name="constant"), 5, 1)
    assert {constant(i) for i in range(5)} == {1.0}


@given(
    name=st.sampled_from(["cosine", "exponential", "constant"]),
    steps=st.integers(1, 200),
    warmup=st.floats(0, 0.9),
    extra=st.integers(0, 10),
)
def test_factors_stay_in_bounds_and_never_rise_after_warmup(
    name: str, steps: int, warmup: float, extra: int
) -> None:
    settings = ScheduleSection.model_validate({"name": name, "warmup_epochs": warmup})
    if round(warmup * steps) >= steps:
        return
    at = factor(settings, steps, steps)
    factors = [at(i) for i in range(steps + extra)]
    assert all(0 <= f <= 1 for f in factors)
    after = factors[round(warmup * steps) :]
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise(after))


def test_a_warmup_as_long_as_the_run_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="is 8 steps, but the run has 8"):
        factor(ScheduleSection(warmup_epochs=2), 8, 4)


def test_the_schedule_scales_every_group() -> None:
    optimizer = make_optimizer(create_model("fc_tiny", LABELS), OptimizerSection(lr=1.0, head_lr=2.0))
    schedule = make_schedule(optimizer, ScheduleSection(), 3, 3)
    for _ in range(2):
        optimizer.step()
        schedule.step()
    assert {group["lr"] for group in optimizer.param_groups} == {0.0}


def test_the_average_follows_the_weights() -> None:
    model = create_model("r3d_tiny", LABELS)
    average = AveragedWeights(model.net, 0.9)
    assert not any(p.requires_grad for p in average.parameters())
    expected: torch.Tensor | None = None
    for update in range(30):
        for p in model.parameters():
            p.data.add_(1.0)
        average.update_parameters(model.net)
        weight = next(model.net.parameters()).detach()
        if expected is None:
            expected = weight.clone()
        else:
            decay = min(0.9, (1 + update) / (10 + update))
            expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(next(average.module.parameters()), expected)
    other = recogniser_around(average.module, model)
    assert other.labels == model.labels
    assert not other.training
