"""`Predictions`: the answers of a model to every clip of a data set, pooled over folds, fused over models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.core.files import replacing
from kinesphere.core.labels import LabelSet
from kinesphere.core.parquet import read_table
from kinesphere.core.paths import is_file, is_folder
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import parse_json
from kinesphere.core.text import spelled, unspelled
from kinesphere.data.sample import Sample
from kinesphere.evaluate.metrics import check_table
from kinesphere.predict.fusion import check_labels, likeliest_weights, normalised_weights

FILE_NAME = "predictions.parquet"
"""In the folder of a run, a fusion or an evaluation."""

# What a table has a value of for each clip, beside targets and probabilities.
_COLUMNS = ("ids", "paths", "spans", "groups", "folds")
_HEADER = b"kinesphere.predictions"
# Probabilities below this count as this, so that one sure mistake does not silence a model for good.
_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class Predictions:
    """A table of N scored clips over K labels, and what was skipped.

    Attributes:
        labels: The K labels.
        ids: Unique sample ids.
        paths: Video files.
        spans: `(start_s, end_s)` or None for the whole video.
        groups: Performer or source, or None.
        targets: `(N,)` int64 class indices; `(N, K)` int64 zeros and ones for multi-label sets.
        probabilities: `(N, K)` float64.
        folds: Name of the held-out fold, or None outside cross-validation.
        skipped: Clips that could not be scored.
        damaged: Clips that were scored from what could be read of them.
    """

    labels: LabelSet
    ids: tuple[str, ...]
    paths: tuple[str, ...]
    spans: tuple[tuple[float, float] | None, ...]
    groups: tuple[str | None, ...]
    targets: np.ndarray
    probabilities: np.ndarray
    folds: tuple[str | None, ...]
    skipped: tuple[Skipped, ...] = ()
    damaged: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        lengths = [len(getattr(self, name)) for name in (*_COLUMNS[1:], "targets", "probabilities")]
        if set(lengths) != {len(self.ids)}:
            raise InvalidSetting(
                f"Every column of a table of {len(self.ids)} clips needs that length; got {lengths}."
            )
        if len(set(self.ids)) != len(self.ids):
            repeated = sorted(name for name, count in Counter(self.ids).items() if count > 1)
            raise InvalidSetting(f"Each clip counts once; these ids occur again: {repeated[:5]}.")
        object.__setattr__(self, "probabilities", check_table(self.probabilities, self.targets, self.labels))

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(
        cls, samples: Sequence[Sample], labels: LabelSet, targets: np.ndarray, probabilities: np.ndarray
    ) -> Predictions:
        """The table of samples with their `(N, …)` targets and `(N, K)` probabilities, of no fold."""
        return cls(
            labels,
            ids=tuple(sample.id for sample in samples),
            paths=tuple(str(sample.path) for sample in samples),
            spans=tuple(sample.span for sample in samples),
            groups=tuple(sample.group for sample in samples),
            targets=targets,
            probabilities=probabilities,
            folds=(None,) * len(samples),
        )

    def in_fold(self, name: str) -> Predictions:
        """The same clips, marked as held out in fold `name`."""
        return replace(self, folds=(name,) * len(self))

    @classmethod
    def pooled(cls, folds: Iterable[Predictions]) -> Predictions:
        """One table of all folds; each clip may be held out once.

        Raises:
            LabelMismatch: If the folds have different labels.
            InvalidSetting: If a clip occurs twice, or there is no fold.
        """
        parts = list(folds)
        if not parts:
            raise InvalidSetting("There are no predictions to pool.")
        for part in parts:
            if part.labels.names != parts[0].labels.names or part.labels.multi != parts[0].labels.multi:
                raise LabelMismatch("Predictions over different label sets cannot be pooled.")

        def chained(name: str) -> tuple[Any, ...]:
            return tuple(chain.from_iterable(getattr(part, name) for part in parts))

        return cls(
            parts[0].labels,
            targets=np.concatenate([part.targets for part in parts]),
            probabilities=np.concatenate([part.probabilities for part in parts]),
            **{name: chained(name) for name in (*_COLUMNS, "skipped", "damaged")},
        )

    def write(self, path: str | Path) -> None:
        """Write a Parquet table: id, path, start, end, group, target, answer, probabilities, fold.

        `target` and `answer` are names of classes: the true ones and the model's, which in a multi-label set
        are those above one half. `probabilities` has a field of each class's name.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = self.labels.names
        if self.labels.multi:
            targets = [[names[k] for k in np.flatnonzero(row)] for row in self.targets]
            answers = [[names[k] for k in np.flatnonzero(row > 0.5)] for row in self.probabilities]
        else:
            targets = [[names[k]] for k in self.targets]
            answers = [[names[k]] for k in self.probabilities.argmax(1)]
        columns = [pa.array(np.ascontiguousarray(column), pa.float64()) for column in self.probabilities.T]
        table = pa.table(
            {
                "id": pa.array(map(spelled, self.ids), pa.string()),
                "path": pa.array(map(spelled, self.paths), pa.string()),
                "start": pa.array([span and span[0] for span in self.spans], pa.float64()),
                "end": pa.array([span and span[1] for span in self.spans], pa.float64()),
                "group": pa.array(self.groups, pa.string()),
                "target": pa.array(targets, pa.list_(pa.string())),
                "answer": pa.array(answers, pa.list_(pa.string())),
                "probabilities": pa.StructArray.from_arrays(columns, list(names)),
                "fold": pa.array(self.folds, pa.string()),
            }
        )
        labels = self.labels.to_json()
        header = {
            "labels": labels.pop("names"),
            **labels,
            "skipped": [[each.path, each.reason] for each in self.skipped],
            "damaged": [[each.path, each.reason] for each in self.damaged],
        }
        with replacing(Path(path)) as scratch:
            pq.write_table(table.replace_schema_metadata({_HEADER: json.dumps(header)}), scratch)

    @classmethod
    def read(cls, path: str | Path) -> Predictions:
        """Inverse of `write`.

        Args:
            path: The file, or the folder of a run, a fusion or an evaluation that holds it.

        Raises:
            InvalidSetting: If the file is missing or is not such a table.
        """
        path = Path(path)
        path = path / FILE_NAME if is_folder(path) else path
        if not is_file(path):
            raise InvalidSetting(
                f"Cannot read predictions from {path}: there is no such file. Name a run that was tested on "
                "clips."
            )
        try:
            table = read_table(path, InvalidSetting)
            header = parse_json((table.schema.metadata or {})[_HEADER], path.name, InvalidSetting)
            labels = LabelSet.from_json({**header, "names": header["labels"]})
            probabilities = _probabilities(table.column("probabilities"), labels)
            column = table.drop_columns("probabilities").to_pydict()
            spans = zip(column["start"], column["end"], strict=True)
            hot = np.zeros((table.num_rows, len(labels)), dtype=np.int64)
            for row, names in zip(hot, column["target"], strict=True):
                row[[labels.index(name, str(path)) for name in names]] = 1
            return cls(
                labels,
                tuple(map(unspelled, column["id"])),
                tuple(map(unspelled, column["path"])),
                tuple(None if start is None else (start, end) for start, end in spans),
                tuple(column["group"]),
                hot if labels.multi else hot.argmax(1),
                probabilities,
                tuple(column["fold"]),
                tuple(Skipped(*pair) for pair in header["skipped"]),
                tuple(Skipped(path, why, is_failure=False) for path, why in header["damaged"]),
            )
        except (InvalidSetting, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidSetting(
                f"Cannot read predictions from {path}: {error}. Give the predictions.parquet of a run."
            ) from error


def align(parts: Sequence[Predictions]) -> tuple[list[Predictions], tuple[Skipped, ...]]:
    """The clips that all models scored, in the first one's order of clips and labels.

    Returns:
        The tables, and notes on the clips that are left out.

    Raises:
        InvalidSetting: If the tables share no clip.
        LabelMismatch: If labels differ, or models were given different ground truth for a clip.
    """
    first = parts[0]
    for part in parts[1:]:
        check_labels(part.labels, first.labels)
    common = set(first.ids).intersection(*(part.ids for part in parts[1:]))
    if not common:
        raise InvalidSetting(
            "The models scored no clip in common; evaluate them on the same split of the same data."
        )
    wanted = [name for name in first.ids if name in common]
    aligned = [_arranged(part, wanted, first) for part in parts]
    for part in aligned[1:]:
        wrong = (part.targets != aligned[0].targets).reshape(len(wanted), -1).any(1)
        if wrong.any():
            raise LabelMismatch(
                f"The models were given different labels for {wrong.sum()} clips, such as "
                f"{wanted[int(wrong.argmax())]}; evaluate them on the same data."
            )
    notes = {note.path: note for part in parts for note in part.skipped}
    for part in parts:
        for name, path in zip(part.ids, part.paths, strict=True):
            if name not in common and path not in notes:
                notes[path] = Skipped(path, "not every model scored it")
    return aligned, tuple(notes.values())


def _arranged(part: Predictions, ids: Sequence[str], like: Predictions) -> Predictions:
    """Some clips of a table, with the labels in the order of another's."""
    place = {name: row for row, name in enumerate(part.ids)}
    rows = [place[name] for name in ids]
    order = [part.labels.index(name) for name in like.labels.names]
    given = part.targets[rows]
    targets = given[:, order] if part.labels.multi else np.argsort(order)[given]

    return Predictions(
        like.labels,
        targets=targets,
        probabilities=part.probabilities[rows][:, order],
        **{name: tuple(getattr(part, name)[row] for row in rows) for name in _COLUMNS},
    )


def fuse(parts: Sequence[Predictions], weights: Sequence[float] | None = None) -> Predictions:
    """The weighted mean of models' probabilities for the same clips (see `kinesphere.predict.fusion`).

    Args:
        parts: One table per model; any order of clips and labels.
        weights: One per model, not negative; only their ratios count. None gives equal weights.

    Returns:
        A table in the order of the first. Clips that some model could not score are skipped and listed.

    Raises:
        InvalidSetting: If there are fewer than two tables, or the weights cannot work; and as `align`.
    """
    weighing = normalised_weights(weights, len(parts))
    aligned, skipped = align(parts)
    damaged = tuple(dict.fromkeys(note for part in parts for note in part.damaged))
    probabilities = sum(weight * part.probabilities for weight, part in zip(weighing, aligned, strict=True))
    return replace(aligned[0], probabilities=probabilities, skipped=skipped, damaged=damaged)


def learn_weights(parts: Sequence[Predictions]) -> tuple[float, ...]:
    """The weights under which the fused probabilities of the true classes are most likely.

    Learn on validation clips: weights fitted to test clips make the test score worthless.

    Args:
        parts: One table per model, over validation clips.

    Returns:
        One weight per model, not negative, summing to 1.

    Raises:
        InvalidSetting: If there are fewer than two tables; and as `align`.
    """
    normalised_weights(None, len(parts))
    aligned, _ = align(parts)
    return likeliest_weights(np.stack([_likelihood(part) for part in aligned]))


@dataclass(frozen=True, eq=False)
class FusedFolds:
    """Cross-validations as one, each fold under weights that the other folds taught.

    Attributes:
        weights: For each fold, one per model, summing to 1.
        learned_on: For each fold, the clips of the others that its weights were learned on.
        predictions: The fused probabilities.
    """

    weights: Mapping[str, tuple[float, ...]]
    learned_on: Mapping[str, int]
    predictions: Predictions


def fuse_folds(parts: Sequence[Predictions]) -> FusedFolds:
    """Fuse cross-validations under learned weights, without a clip that taught its own.

    The weights of a fold are those that `learn_weights` finds on the clips of all other folds. Each of those
    was scored by a model that never saw it.

    Args:
        parts: One table per model, over all folds.

    Raises:
        InvalidSetting: If there are fewer than two tables or folds, the tables share no clip, or they were
            folded differently.
        LabelMismatch: If labels differ, or models were given different ground truth for a clip.
    """
    normalised_weights(None, len(parts))
    aligned, _ = align(parts)
    first = aligned[0]
    names = tuple(dict.fromkeys(name for name in first.folds if name is not None))
    if len(names) < 2 or any(part.folds != first.folds or None in part.folds for part in aligned):
        counts = " and ".join(str(len(set(part.folds))) for part in aligned)
        raise InvalidSetting(
            "Weights are learned fold by fold where all models were cross-validated on the same two or more "
            f"folds; these have {counts}, or other clips in them. Cross-validate them on the same folds, or "
            "give the weights."
        )
    weights, learned_on, fused = {}, {}, []
    for name in names:
        others, own = ([i for i, fold in zip(first.ids, first.folds, strict=True) if (fold == name) is held]
                       for held in (False, True))  # fmt: skip
        weights[name] = learn_weights([_arranged(part, others, first) for part in aligned])
        learned_on[name] = len(others)
        fused.append(fuse([_arranged(part, own, first) for part in aligned], weights[name]))
    pooled, whole = Predictions.pooled(fused), fuse(parts)
    predictions = replace(_arranged(pooled, first.ids, first), skipped=whole.skipped, damaged=whole.damaged)
    return FusedFolds(weights, learned_on, predictions)


def _likelihood(part: Predictions) -> np.ndarray:
    """Probabilities that a model gave to the truth: one per clip, or per clip and label."""
    if part.labels.multi:
        given = np.where(part.targets == 1, part.probabilities, 1 - part.probabilities).ravel()
    else:
        given = part.probabilities[np.arange(len(part)), part.targets]
    return np.maximum(given, _FLOOR)


def _probabilities(column: Any, labels: LabelSet) -> np.ndarray:
    """float64 `(N, K)` from a Parquet column: of fields by name, in files of before a list in order."""
    import pyarrow as pa

    if pa.types.is_struct(column.type):
        fields = [column.combine_chunks().field(name).to_numpy(zero_copy_only=False) for name in labels.names]
        return np.stack(fields, axis=1).astype(np.float64)
    return np.array(column.to_pylist(), dtype=np.float64)
