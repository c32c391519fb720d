"""A finished cross-validation as a recogniser of its own data: each clip by the fold that never met it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting
from kinesphere.data.content import contents_of
from kinesphere.data.manifest import Manifest
from kinesphere.evaluate import Predictions, Reading, Report, collect, report_on, unlisted
from kinesphere.evaluate.seen import Met, seen_by
from kinesphere.models.checkpoint import FILE_NAME, read_provenance
from kinesphere.predict import load
from kinesphere.predict.fusion import FILE_NAME as FUSION_FILE


def fold_models(folder: Path) -> list[Path]:
    """The models of a cross-validation, in the order of its folds; none if the folder is something else."""
    if not folder.is_dir() or (folder / FILE_NAME).is_file() or (folder / FUSION_FILE).is_file():
        return []
    found = [path / FILE_NAME for path in folder.glob("fold-*") if (path / FILE_NAME).is_file()]
    return sorted(found, key=lambda path: (len(path.parent.name), path.parent.name))


def score_folds(
    folder: Path,
    manifest: Manifest,
    *,
    compute: Compute,
    split: str | None = None,
    reading: Reading = Reading(),  # noqa: B008 (frozen)
    date: str = "",
) -> tuple[Predictions, Report]:
    """What the folds of a cross-validation say of the clips that they had not met, and the score of that.

    Args:
        folder: Folder of the cross-validation.
        manifest: Its data, or some of them.
        compute: Where the models run.
        split: A split of the manifest that is scored; None and `all` score everything.
        reading: How the clips are read.
        date: ISO 8601, for the report.

    Raises:
        InvalidManifest: If there is no such split.
        InvalidSetting: If a clip is not in the test part of exactly one fold, so that no model, or not one
            alone, may be asked about it.
    """
    if split not in (None, "all"):
        manifest = manifest.where(split=split)
    models = fold_models(folder)
    tested, notes = _tested(folder, models, manifest)
    parts, done = [], 0
    for model, chosen in zip(models, tested, strict=True):
        if not chosen:
            continue
        predictor = load(model.parent, compute=compute)
        part = collect(
            predictor, manifest.select(chosen), views=reading.views, extracts=reading.extracts,
            background=reading.background, progress=_behind(reading.progress, done, len(manifest)),
        )  # fmt: skip
        parts.append(part.in_fold(model.parent.name))
        done += len(chosen)
    predictions = Predictions.pooled(parts)
    report = report_on(
        predictor, manifest, predictions, reading.views or predictor.test_views,
        split=f"{len(models)} folds", background=reading.background, date=date,
        notes=(*notes, *unlisted(manifest)),
    )  # fmt: skip
    return predictions, replace(report, environment=replace(report.environment, model=str(folder)))


def _tested(
    folder: Path, models: Sequence[Path], manifest: Manifest
) -> tuple[list[list[int]], tuple[str, ...]]:
    """The clips of each fold's test part, and a note on those that a fold had learnt from all the same.

    Raises:
        InvalidSetting: If a clip is not in the test part of exactly one fold.
    """
    contents = contents_of(sample.path for sample in manifest)
    tested: dict[str, list[int]] = {sample.id: [] for sample in manifest}
    flattered: set[str] = set()
    for number, model in enumerate(models):
        seen, _ = seen_by((read_provenance(model),))
        met: dict[str, Met] = {} if seen is None else seen.of(manifest, contents)
        for name, how in met.items():
            if how in ("test", "known test"):
                tested[name].append(number)
                flattered |= {name} if how == "known test" else set()
    wrong = [name for name, folds in tested.items() if len(folds) != 1]
    if wrong:
        raise InvalidSetting(
            f"{folder} is a cross-validation of {len(models)} folds, and {len(wrong)} of {len(manifest)} "
            f"clips are not in the test part of exactly one of them (the first: {wrong[0]!r}), so that none "
            f"can be asked about them. Score other data with one fold, such as {models[0].parent}."
        )
    text = f"{len(flattered)} clips were tested by folds that had learnt from them or their files."
    positions = [
        [i for i, sample in enumerate(manifest) if tested[sample.id] == [number]]
        for number in range(len(models))
    ]
    return positions, (text,) if flattered else ()


def _behind(
    progress: Callable[[int, int], None] | None, done: int, total: int
) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda count, _: progress(done + count, total)
