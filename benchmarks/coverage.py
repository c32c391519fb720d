"""How often intervals hold the truth: simulated tests of a recogniser whose true scores are known.

    python -m benchmarks.coverage [--trials 500]

Each trial draws groups (performers, videos) whose chances of a right answer differ, so that answers within a
group correlate, then clips of each group, scores them as `kinesphere evaluate` does, and looks whether the
intervals hold the true scores. Six classes; a wrong answer is any other class alike. Of several labels, four
are carried by 30 % of clips each, and the scores of a clip move with its group.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from benchmarks.record import Row, command_line, finish
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate import metrics
from kinesphere.evaluate.intervals import Units
from kinesphere.evaluate.metrics.recognition import average_precisions

GROUPS = (2, 3, 5, 8, 10, 20, 50)
CLIPS = (10, 30)
CORRELATIONS = (0.0, 0.1, 0.3)
ACCURACIES = (0.5, 0.8, 0.95, 0.98)
CLASSES, LABELS = 6, 4
TOP5_OF_WRONG = 0.8
LEAST = 0.93

Outcomes = dict[str, list[tuple[bool, float]]]
"""By score: whether the interval held the truth, and its width."""


@dataclass(frozen=True)
class World:
    """Where trials are drawn from.

    Attributes:
        groups: Number of groups.
        clips: Clips of a group, on average; sizes differ by up to a half where `uneven`.
        correlation: Between the answers to two clips of one group.
        accuracy: True top-1 accuracy.
        uneven: Whether groups differ in size.
    """

    groups: int
    clips: int
    correlation: float
    accuracy: float
    uneven: bool = False

    def members(self, generator: np.random.Generator) -> np.ndarray:
        """The group of each clip."""
        sizes = np.full(self.groups, self.clips)
        if self.uneven:
            sizes = generator.integers(
                self.clips // 2, self.clips + self.clips // 2, self.groups, endpoint=True
            )
        return np.repeat(np.arange(self.groups), sizes)


def single_label(world: World, generator: np.random.Generator) -> Iterator[tuple[str, bool, float]]:
    """One trial of a recogniser that names one class."""
    group = world.members(generator)
    p, strength = world.accuracy, _strength(world.correlation)
    chance = generator.beta(p * strength, (1 - p) * strength, world.groups) if strength else p
    right = generator.random(len(group)) < np.broadcast_to(chance, world.groups)[group]
    targets = generator.integers(CLASSES, size=len(group))
    given = np.where(right, targets, (targets + generator.integers(1, CLASSES, len(group))) % CLASSES)
    near = generator.random(len(group)) < TOP5_OF_WRONG
    clips = np.arange(len(group))
    probabilities = np.full((len(group), CLASSES), 0.1)
    probabilities[clips, targets] = np.where(near, 0.2, 0.0)
    probabilities[clips, given] = 0.5
    answers = metrics.Answers(probabilities, targets, Units.of([str(i) for i in group]))
    truths = {"top1": p, "top5": p + (1 - p) * TOP5_OF_WRONG, "mean_class_accuracy": p, "macro_f1": p}
    for name, true in truths.items():
        score = replace(metrics.METRICS.get(name), value=None).score(answers)
        yield metrics.score_name(name), *_held(true, score)
    carried = targets == 0
    if carried.any():
        ends = metrics.recall_interval(carried, given == 0, [str(i) for i in group])
        if ends[0] is not None:
            yield "recall of a class", *_held(p, metrics.Score(0, *ends))


def several_labels(world: World, truth: tuple[float, float], generator: np.random.Generator
) -> Iterator[tuple[str, bool, float]]:  # fmt: skip
    """One trial of a recogniser that gives each label a score; `truth` is mAP and F1 without end of clips."""
    probabilities, targets, group = _scored_clips(world, generator)
    if not targets.any(0).all():
        return
    labels = LabelSet(tuple(map(str, range(LABELS))), multi=True)
    found = metrics.scores(probabilities, targets, labels, groups=[str(i) for i in group])
    for name, true in (("mAP", truth[0]), ("macro-F1, several labels", truth[1]), ("micro-F1", truth[1])):
        yield name, *_held(true, found[{"mAP": "map", "micro-F1": "micro_f1"}.get(name, "macro_f1")])


def true_of_several(world: World, generator: np.random.Generator) -> tuple[float, float]:
    """mAP and F1 of many clips, every one of another group."""
    endless = World(60_000, 1, world.correlation, world.accuracy)
    probabilities, targets, _ = _scored_clips(endless, generator)
    p, y = probabilities.ravel(), targets.ravel()
    precision = average_precisions(p[:, None], y[:, None])[0]
    chosen = p > 0.5
    return float(precision), float(2 * (chosen & (y > 0)).sum() / (chosen.sum() + y.sum()))


def _scored_clips(world: World, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    group = world.members(generator)
    targets = (generator.random((len(group), LABELS)) < 0.3).astype(np.int64)
    share = np.sqrt(world.correlation)
    noise = generator.normal(size=targets.shape) * np.sqrt(1 - world.correlation)
    noise += share * generator.normal(size=(world.groups, LABELS))[group]
    apart = NormalDist().inv_cdf(world.accuracy)  # a threshold in the middle is right so often
    logits = noise + np.where(targets > 0, apart, -apart)
    return 1 / (1 + np.exp(-logits)), targets, group


def _strength(correlation: float) -> float:
    """Of the beta distribution of the groups' chances; 0 where they are all the same."""
    return (1 - correlation) / correlation if correlation else 0.0


def _held(truth: float, score: metrics.Score) -> tuple[bool, float]:
    low, high = score.low, score.high
    assert low is not None  # there are two groups or more
    assert high is not None
    return low <= truth + 1e-9 and truth - 1e-9 <= high, high - low


def measure(worlds: list[World], trials: int, seed: int) -> list[Row]:
    """A row per score and number of groups: mean and least coverage over the worlds, and mean width."""
    table: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for number, world in enumerate(worlds):
        generator = np.random.default_rng([seed, number])
        outcomes: Outcomes = defaultdict(list)
        truth = true_of_several(world, generator)
        for trial in range(trials):
            found = [*single_label(world, generator)]
            if trial % 5 == 0:  # average precision takes longer
                found += several_labels(world, truth, generator)
            for name, held, width in found:
                outcomes[name].append((held, width))
        for name, each in outcomes.items():
            held, widths = np.array(each).T
            table[name, world.groups].append((float(held.mean()), float(widths.mean())))
    return [_row(name, groups, each) for (name, groups), each in sorted(table.items())]


def _row(name: str, groups: int, each: list[tuple[float, float]]) -> Row:
    coverage, width = np.array(each).T
    return {
        "score": name,
        "groups": groups,
        "truth held, mean %": f"{100 * coverage.mean():.1f}",
        "truth held, least %": f"{100 * coverage.min():.1f}",
        "width, mean points": f"{100 * width.mean():.0f}",
        "cases": len(each),
    }


def goal_of(found: list[float]) -> str:
    """The least of some shares against the goal."""
    verdict = "met" if min(found) >= 100 * LEAST else "missed"
    return f"(goal: at least {100 * LEAST:.0f} %): {min(found):.1f} %, {verdict}"


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--trials", type=int, default=500, help="simulated tests of each case")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    worlds = [World(*case) for case in itertools.product(GROUPS, CLIPS, CORRELATIONS, ACCURACIES)]
    worlds += [World(groups, 20, 0.1, accuracy, uneven=True) for groups in GROUPS for accuracy in (0.7, 0.95)]
    rows = measure(worlds, args.trials, args.seed)
    few = [row for row in rows if int(row["groups"]) >= 3]
    least: dict[str, list[float]] = {str(row["score"]): [] for row in few}
    for row in few:
        least[str(row["score"])].append(float(row["truth held, least %"]))
    goals = [
        f"{name}, share of intervals that hold the truth in the worst case from 3 groups up {goal_of(found)}"
        for name, found in least.items()
    ]
    single, several = (196 * math.sqrt(0.95 * 0.05 / count) for count in (args.trials, args.trials / 5))
    cases = (
        "A case is a number of groups, clips of a group (10, 30), correlation in groups (0, 0.1, 0.3) and "
        "true accuracy (0.5 to 0.98), some with groups of unequal size; least is the worst case."
    )
    precision = (
        f"{args.trials} trials of each case, a fifth of them for scores of several labels: a share of 95 % "
        f"in one case is known to about {single:.1f} points, or {several:.1f}."
    )
    notes = [cases, precision, "The method stands in `kinesphere/evaluate/intervals.py`."]
    finish("coverage", "Intervals: how often they hold the truth", parser, args, rows, goals, notes)


if __name__ == "__main__":
    main()
