"""The head of a trained model, changed by a rule for long tails: tau-normalisation and logit adjustment.

K classes.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import replacing
from kinesphere.core.threads import computing_with
from kinesphere.models.head import HeadForm, add_to_logits, tau_normalise
from kinesphere.models.recogniser import ALL, Recogniser
from kinesphere.models.runtime.frozen import FrozenSplit, Head
from kinesphere.train.checkpoints import keep
from kinesphere.train.losses import LossContext, log_priors, make_loss
from kinesphere.train.probe_trainer import ProbeTrainer
from kinesphere.train.probing import read_features
from kinesphere.train.recipe import Recipe
from kinesphere.train.run_folder import RunFiles
from kinesphere.train.running_metrics import Scores, monitor_mode
from kinesphere.train.splits import Parts
from kinesphere.train.trainer import starting

log = logging.getLogger("kinesphere.train")

_BY_SHARES = ("balanced_softmax", "class_balanced", "ldam", "logit_adjusted")
"""Losses that make up for the shares of classes themselves."""


@dataclass(frozen=True, eq=False)
class Rule:
    """How a head is changed.

    Attributes:
        method: `tau_normalised` or `logit_adjusted`.
        log_priors: `(K,)` logarithms of the classes' shares in the training file.
    """

    method: str
    log_priors: Tensor

    def prepare(self, recogniser: Recogniser) -> None:
        """Give the head what the rule needs: a bias, for what is added to logits."""
        if self.method != "logit_adjusted":
            return
        heads = [recogniser.net.get_submodule(path) for path in recogniser.card.head]
        layers = [part for head in heads for part in (head if isinstance(head, nn.ModuleList) else (head,))]
        if all(layer.bias is not None for layer in layers):
            return
        form = recogniser.head if isinstance(recogniser.head, HeadForm) else HeadForm()
        recogniser.shape_head(HeadForm(form.kind, bias=True, scale=form.scale))

    def change(self, head: nn.Module, tau: float, path: str) -> None:
        """Change one last layer; tau 0 leaves it as it is.

        Raises:
            InvalidSetting: If the layer is normalised and its norms are to be changed.
        """
        if self.method == "tau_normalised":
            tau_normalise(head, tau, path)
        else:
            add_to_logits(head, -tau * self.log_priors, path)


def rebalance(recipe: Recipe, parts: Parts, console: Console | None = None) -> str:
    """Change the head of a trained model by the tau that the validation samples score best with.

    Leaves `model.safetensors` and, where there was a choice, `rebalanced.csv` in the run folder.

    Args:
        recipe: Resolved; `out` is the run folder.
        parts: The samples.
        console: For progress; None is standard error.

    Returns:
        What was done, for the report.

    Raises:
        InvalidSetting: If the weights do not know the classes, or there is nothing to choose tau by.
        TooManyFailures: If too many samples are unreadable.
    """
    files, compute, settings = RunFiles(Path(str(recipe.out))), recipe.compute.choose(), recipe.rebalance
    recogniser = starting(recipe, parts, compute)
    if recogniser.reset:
        raise InvalidSetting(
            f"{recipe.model.pretrained} does not know the classes of the data, so there is no trained head "
            "to rebalance; name a run that was trained on them."
        )
    for note in _made_up_before(recipe):
        log.warning("%s", note)
    counts = parts.train.counts()
    priors = log_priors(torch.tensor([counts[name] for name in parts.train.labels]))
    rule, found = Rule(str(settings.method), priors), dict[float, Scores]()
    rule.prepare(recogniser)
    if len(settings.tau) > 1:
        with computing_with(compute.threads):
            found = _tried(recipe, parts, recogniser, rule, console)
    tau = _best(found, recipe.train.monitor) if found else settings.tau[0]
    for path in recogniser.card.head:
        rule.change(recogniser.net.get_submodule(path), tau, path)
    scores = {f"val_{name}": value for name, value in found.get(tau, {}).items()}
    keep(recogniser, files.model, parts.train.fingerprint(), scores)
    said = f"The head of the trained model was {settings.method} with tau {tau:g}".replace("_", "-")
    if not found:
        return f"{said}."
    _write(files.rebalanced, found, tau)
    assert parts.val is not None
    return f"{said}, the best of {len(found)} by {recipe.train.monitor} on {len(parts.val)} validation clips."


def _made_up_before(recipe: Recipe) -> list[str]:
    """Warnings where the run whose head is changed has made up for the shares of classes already."""
    files = RunFiles(Path(str(recipe.model.pretrained)))
    if recipe.rebalance.method != "logit_adjusted" or not files.recipe.is_file():
        return []
    then = Recipe.load(files.recipe)
    drawn = [f"data.balance={then.data.balance}"] if then.data.balance != "none" else []
    drawn += [] if then.loss.name not in _BY_SHARES else [f"loss.name={then.loss.name}"]
    return [
        f"{recipe.model.pretrained} was trained with {each}, which makes up for the shares of classes; "
        "logit_adjusted does so again. Take tau_normalised, or a run without it."
        for each in drawn
    ]


def _tried(
    recipe: Recipe, parts: Parts, recogniser: Recogniser, rule: Rule, console: Console | None
) -> dict[float, Scores]:
    """Scores on the validation samples by tau."""
    if parts.val is None:
        raise InvalidSetting(
            f"{len(recipe.rebalance.tau)} values of tau are tried on validation samples, and data.val is 0; "
            "hold some out, or give one rebalance.tau."
        )
    path = recogniser.card.head[0]
    if len(recogniser.card.head) > 1 or isinstance(recogniser.net.get_submodule(path), nn.ModuleList):
        raise InvalidSetting(
            f"{recogniser.card.name} has several heads, for which tau is not searched; give one "
            "rebalance.tau."
        )
    recogniser.freeze(ALL)
    split = FrozenSplit(recogniser)
    features = read_features(recipe, split, {"val": (parts.val, recipe.test.views)}, console)["val"]
    plain = make_loss("cross_entropy", LossContext(torch.ones(len(parts.train.labels))))
    trainer = ProbeTrainer(recipe, split.head(), plain, parts.train.labels)
    found = {}
    for tau in dict.fromkeys(recipe.rebalance.tau):
        head: Head = split.head().eval()
        rule.change(head.layers[-1], tau, path)
        (scores,) = trainer.scores([head], features)
        if scores is not None:
            found[tau] = scores
    return found


def _best(found: Mapping[float, Scores], monitor: str) -> float:
    """The tau of the best score; of equal ones the least."""
    sign = -1 if monitor_mode(monitor) == "min" else 1
    return max(found, key=lambda tau: (sign * found[tau][monitor], -tau))


def _write(path: Path, found: Mapping[float, Scores], kept: float) -> None:
    names: Sequence[str] = list(next(iter(found.values())))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("tau", *names, "kept"))
        for tau, scores in found.items():
            table.writerow((tau, *(scores[name] for name in names), tau == kept))
