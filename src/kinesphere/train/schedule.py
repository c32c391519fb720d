"""Learning-rate schedules: a factor on every group's peak rate, as a function of the step."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable

import torch

from kinesphere.core.errors import InvalidSetting
from kinesphere.train.config import ScheduleSection


def factor(settings: ScheduleSection, steps: int, steps_per_epoch: int) -> Callable[[int], float]:
    """The schedule as a function from the step (0 is the first) to a factor in [0, 1].

    The warm-up rises linearly, its first step already above zero, and reaches 1 at its end. Cosine
    (Loshchilov and Hutter 2017, equation 5, without restarts) then falls to `floor` at the last step.

    Args:
        settings: Shape, warm-up, milestones.
        steps: Optimiser steps of the run.
        steps_per_epoch: Optimiser steps of one epoch.

    Raises:
        InvalidSetting: If the warm-up takes the whole run.
    """
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    if warmup and warmup >= steps:
        raise InvalidSetting(
            f"A warm-up of {settings.warmup_epochs} epochs is {warmup} steps, but the run has {steps}; "
            "shorten schedule.warmup_epochs or train longer."
        )
    drops = [round(epoch * steps_per_epoch) for epoch in settings.milestones]

    def at(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
        if settings.name == "cosine":
            return settings.floor + (1 - settings.floor) * (1 + math.cos(math.pi * done)) / 2
        if settings.name == "step":
            return float(settings.factor ** bisect.bisect_right(drops, step))
        if settings.name == "exponential":
            return float(settings.factor**done)
        return 1.0

    return at


def make_schedule(
    optimizer: torch.optim.Optimizer, settings: ScheduleSection, steps: int, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The schedule for an optimiser; step it after every optimiser step."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor(settings, steps, steps_per_epoch))


def set_rates(schedule: torch.optim.lr_scheduler.LambdaLR) -> None:
    """Give the optimiser the rates of the step that a schedule stands at."""
    groups = zip(schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True)
    for group, peak, at in groups:
        group["lr"] = peak * at(schedule.last_epoch)
