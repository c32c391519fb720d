"""Two models on the same clips: where they disagree, and which classes each takes for which.

A model is right about a clip or wrong, so that a clip has one of four outcomes; how much oftener one model is
right than the other is told with a paired interval (`evaluate.paired`). How far two models
disagree about a clip is the total variation distance of their probabilities: 0 where they are the same, 1
where no class has some of both.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import replacing, write_text
from kinesphere.core.skipped import Skipped
from kinesphere.core.text import SPELLED, told_apart
from kinesphere.evaluate.paired import Difference, share_difference
from kinesphere.evaluate.predictions import Predictions, align

FILE_NAME, TABLE_NAME = "comparison.json", "disagreements.csv"


@dataclass(frozen=True)
class Outcomes:
    """One row of the table.

    Attributes:
        label: The true class; None for all of them.
        both: Number of clips about which both models are right.
        first: About which only the first is.
        second: About which only the second is.
        neither: About which both are wrong.
        gain: How much oftener the second model is right than the first.
    """

    label: str | None
    both: int
    first: int
    second: int
    neither: int
    gain: Difference

    @property
    def clips(self) -> int:
        """Number of clips."""
        return self.both + self.first + self.second + self.neither


@dataclass(frozen=True)
class Clip:
    """One clip with the answers of both models.

    Attributes:
        id: Of the sample.
        path: The video.
        span: `(start_s, end_s)`, or None for all of it.
        group: Performer or source.
        truth: Its class.
        answers: What each model answers.
        probabilities: What each gives to its own answer.
        truth_probabilities: What each gives to the true class.
        distance: Total variation distance of the two answers' probabilities, from 0 to 1.
    """

    id: str
    path: str
    span: tuple[float, float] | None
    group: str | None
    truth: str
    answers: tuple[str, str]
    probabilities: tuple[float, float]
    truth_probabilities: tuple[float, float]
    distance: float


@dataclass(frozen=True)
class Confusion:
    """A class that is taken for another.

    Attributes:
        truth: The true class.
        answer: What clips of it are taken for.
        counts: By each of the models, how many clips.
        of: Number of clips of the true class.
    """

    truth: str
    answer: str
    counts: tuple[int, int]
    of: int


@dataclass(frozen=True)
class Disagreement:
    """Two models on the same clips.

    Attributes:
        models: Their names.
        outcomes: Of all clips, then of each class that occurs.
        apart: Clips that the models answer differently, the farthest apart first.
        confusions: Classes that are taken for others, the most frequent first.
        mistakes: Clips that some model answers wrongly, the surest mistakes first.
        skipped: Clips that not both models could answer, with the reason.
    """

    models: tuple[str, str]
    outcomes: tuple[Outcomes, ...]
    apart: tuple[Clip, ...]
    confusions: tuple[Confusion, ...]
    mistakes: tuple[Clip, ...]
    skipped: tuple[Skipped, ...]

    @property
    def clips(self) -> int:
        """Number of clips that both models answered."""
        return self.outcomes[0].clips

    @property
    def short_names(self) -> tuple[str, str]:
        """The models' names without the folders above their last two."""
        first, second = told_apart("/".join(Path(name).parts[-2:]) for name in self.models)
        return first, second

    def verdict(self) -> str:
        """Which model is ahead, as far as the interval tells."""
        first, second = self.short_names
        gain, whole = self.outcomes[0].gain, self.outcomes[0]
        figures = (
            f"both are right about {whole.both} of {whole.clips} clips, only {first} about {whole.first}, "
            f"only {second} about {whole.second}, neither about {whole.neither}; the difference of "
            f"accuracies is {gain}"
        )
        if not (gain.is_more or gain.is_less):
            return f"These clips do not tell which model is better: {figures}."
        return f"{second if gain.is_more else first} is better: {figures}."

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "models": list(self.models),
            "clips": self.clips,
            "verdict": self.verdict(),
            "outcomes": [asdict(row) for row in self.outcomes],
            "disagreements": [asdict(clip) for clip in self.apart],
            "confusions": [asdict(each) for each in self.confusions],
            "skipped": [each.to_json() for each in self.skipped],
        }

    def write(self, folder: Path) -> None:
        """Write `comparison.json`, and the clips of disagreement as `disagreements.csv`.

        Raises:
            UnwritableFile: If the place takes no file.
        """
        write_text(folder / FILE_NAME, json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n")
        columns = (
            "id", "path", "start", "end", "group", "truth",
            "answer_1", "probability_1", "truth_probability_1",
            "answer_2", "probability_2", "truth_probability_2", "distance",
        )  # fmt: skip
        with (
            replacing(folder / TABLE_NAME) as scratch,
            scratch.open("w", encoding="utf-8", errors=SPELLED, newline="") as file,
        ):
            rows = csv.writer(file)
            rows.writerow(columns)
            for clip in self.apart:
                sides = zip(clip.answers, clip.probabilities, clip.truth_probabilities, strict=True)
                figures = [cell for name, own, true in sides for cell in (name, f"{own:.6f}", f"{true:.6f}")]
                span = clip.span or ("", "")
                rows.writerow([clip.id, clip.path, *span, clip.group or "", clip.truth, *figures,
                               f"{clip.distance:.6f}"])  # fmt: skip


def disagreement(names: tuple[str, str], first: Predictions, second: Predictions) -> Disagreement:
    """Hold the answers of two models against each other, over the clips that both answered.

    Args:
        names: Of the models; of one name they are numbered.
        first: Answers of the first model.
        second: Those of the second, to the same clips in any order.

    Raises:
        InvalidSetting: If clips have several labels, or no clip was answered by both.
        LabelMismatch: If the models know different labels, or were given different ground truth.
    """
    if first.labels.multi or second.labels.multi:
        raise InvalidSetting("Models are compared by their one answer to a clip; these give several labels.")
    (one, two), skipped = align([first, second])
    targets, labels = one.targets, one.labels.names
    said = np.stack([table.probabilities.argmax(1) for table in (one, two)])
    right = said == targets
    everything = np.arange(len(targets))
    outcomes = [_outcomes(None, right, one.groups, everything)] + [
        _outcomes(labels[k], right, one.groups, np.flatnonzero(targets == k))
        for k in np.unique(targets).tolist()
    ]
    distances = np.abs(one.probabilities - two.probabilities).sum(1) / 2
    differ = np.flatnonzero(said[0] != said[1])
    sureness = np.where(right, 0.0, np.stack([table.probabilities.max(1) for table in (one, two)])).max(0)
    wrong = np.flatnonzero(~right.all(0))
    by_distance = differ[np.argsort(-distances[differ], kind="stable")]
    by_sureness = wrong[np.argsort(-sureness[wrong], kind="stable")]
    a, b = told_apart(names)
    return Disagreement(
        (a, b),
        tuple(outcomes),
        tuple(_clip((one, two), i, float(distances[i])) for i in by_distance.tolist()),
        _confusions(said, targets, labels),
        tuple(_clip((one, two), i, float(distances[i])) for i in by_sureness.tolist()),
        skipped,
    )


def _outcomes(
    label: str | None, right: np.ndarray, groups: Sequence[str | None], rows: np.ndarray
) -> Outcomes:
    """The row of some clips; `right` is `(2, N)`."""
    first, second = right[:, rows]
    gain = share_difference(first, second, [groups[i] for i in rows.tolist()])
    counts = (first & second, first & ~second, second & ~first, ~first & ~second)
    both, only_first, only_second, neither = (int(each.sum()) for each in counts)
    return Outcomes(label, both, only_first, only_second, neither, gain)


def _clip(tables: tuple[Predictions, Predictions], row: int, distance: float) -> Clip:
    one, names = tables[0], tables[0].labels.names
    truth = int(one.targets[row])
    said = [int(table.probabilities[row].argmax()) for table in tables]
    a, b = (table.probabilities[row] for table in tables)
    return Clip(
        one.ids[row], one.paths[row], one.spans[row], one.groups[row], names[truth],
        (names[said[0]], names[said[1]]), (float(a[said[0]]), float(b[said[1]])),
        (float(a[truth]), float(b[truth])), distance,
    )  # fmt: skip


def _confusions(said: np.ndarray, targets: np.ndarray, labels: Sequence[str]) -> tuple[Confusion, ...]:
    """Of answers `(2, N)`, pairs of classes by how often they occur, in both models together."""
    counts: dict[tuple[int, int], list[int]] = {}
    for model, answers in enumerate(said):
        for row in np.flatnonzero(answers != targets).tolist():
            pair = (int(targets[row]), int(answers[row]))
            counts.setdefault(pair, [0, 0])[model] += 1
    ranked = sorted(counts.items(), key=lambda item: -sum(item[1]))
    return tuple(
        Confusion(labels[true], labels[answer], (first, second), int((targets == true).sum()))
        for (true, answer), (first, second) in ranked
    )
