"""`SetHead`: which outputs of a jointly trained network answer for which data set.

The head of a joint training is one layer whose rows are those of the sets' heads, one set after the other. A
loss that looks at the rows of a sample's own set alone gives those of all others a gradient of zero.

B batch, V views, K classes of all sets, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kinesphere.core.labels import LabelSet
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import Sample
from kinesphere.data.sampler import SetShares
from kinesphere.train.joint_sections import SEPARATOR
from kinesphere.train.losses import LossFunction, loss_at
from kinesphere.train.recipe import Recipe


@dataclass(frozen=True)
class SetHead:
    """The outputs of one data set.

    Attributes:
        name: Name of the set.
        labels: Its classes under their own names.
        start: Its first output.
    """

    name: str
    labels: LabelSet
    start: int

    @property
    def rows(self) -> slice:
        """Its outputs among all."""
        return slice(self.start, self.start + len(self.labels))

    def own(self, samples: Manifest) -> Manifest:
        """The samples of the set alone, with the ids, groups and labels that they have there."""
        mine = (sample for sample in samples if set_of(sample) == self.name)
        return replace(
            samples, samples=tuple(map(self._own, mine)), labels=self.labels,
            unused=(), wrong=(), groupings=(),
        )  # fmt: skip

    def _own(self, sample: Sample) -> Sample:
        prefix = len(self.name) + len(SEPARATOR)
        return replace(
            sample,
            id=sample.id[prefix:],
            labels=tuple(label[prefix:] for label in sample.labels),
            group=None if sample.group is None else sample.group[prefix:],
        )


def of_set(name: str, sample: Sample) -> Sample:
    """A sample of a set among those of others: id, labels and group begin with the set's name."""
    return replace(
        sample,
        id=f"{name}{SEPARATOR}{sample.id}",
        labels=tuple(f"{name}{SEPARATOR}{label}" for label in sample.labels),
        group=None if sample.group is None else f"{name}{SEPARATOR}{sample.group}",
    )


def set_of(sample: Sample) -> str:
    """The set of a sample among those of others."""
    return sample.labels[0].partition(SEPARATOR)[0]


def heads_of(recipe: Recipe, labels: LabelSet) -> tuple[SetHead, ...]:
    """The heads of a joint training; none where a recipe trains on one data set.

    Args:
        recipe: The recipe.
        labels: The classes of all sets, as `joint.read_sets` names them.
    """
    heads, start = [], 0
    for name, section in recipe.joint.sets.items():
        prefix, data = f"{name}{SEPARATOR}", section.within(recipe.data)
        own = LabelSet(
            tuple(label.removeprefix(prefix) for label in labels if label.startswith(prefix)),
            mirror=_stripped(labels.mirror, prefix),
            parents=_stripped(labels.parents, prefix),
            ordered=bool(data.labels),
            graded=data.ordered,
        )
        heads.append(SetHead(name, own, start))
        start += len(own)
    return tuple(heads)


def _stripped(pairs: Sequence[tuple[str, str]], prefix: str) -> tuple[tuple[str, str], ...]:
    return tuple((a.removeprefix(prefix), b.removeprefix(prefix)) for a, b in pairs if a.startswith(prefix))


def shares_of(recipe: Recipe, samples: Sequence[Sample]) -> SetShares | None:
    """How the draws of an epoch divide over the data sets; None where there is one."""
    names = list(recipe.joint.sets)
    if not names:
        return None
    of = [names.index(set_of(sample)) for sample in samples]
    given = [section.weight for section in recipe.joint.sets.values()]
    weights = tuple(
        float(of.count(number)) if weight is None else weight for number, weight in enumerate(given)
    )
    return SetShares(of, weights, recipe.joint.batches == "alternating")


@dataclass(frozen=True, eq=False)
class JointLoss:
    """The mean over a batch of each sample's loss under the head of its own set.

    Attributes:
        heads: The heads, one or more.
        losses: The loss of each.
    """

    heads: tuple[SetHead, ...]
    losses: tuple[LossFunction, ...]

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar of logits (B, K) and 0/1 targets (B, K), which have all their ones in one set."""
        total = torch.zeros((), device=logits.device)
        for head, loss in zip(self.heads, self.losses, strict=True):
            mine = targets[:, head.rows].sum(1) > 0
            if mine.any():
                value = loss(logits[mine, head.rows], targets[mine, head.rows])
                total = total + value * (mine.sum() / len(targets))
        return total

    def at(self, progress: float) -> JointLoss:
        """The loss of a step before which a fraction `progress` of all steps was made."""
        return replace(self, losses=tuple(loss_at(loss, progress) for loss in self.losses))


def by_head(heads: Sequence[SetHead], function: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """A function of logits `(…, K)` of each head by itself, or of all where there are no heads."""
    if not heads:
        return function(logits)
    return torch.cat([function(logits[..., head.rows]) for head in heads], dim=-1)
