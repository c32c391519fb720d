"""A finished cross-validation as a recogniser of its own data: each clip by the fold that never met it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from kinesphere.clips.augment.background import Background
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.spec import Views
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting
from kinesphere.data.content import contents_of
from kinesphere.data.manifest import Manifest
from kinesphere.evaluate import Predictions, Protocol, Provenance, collect, protocol_of, provenance_of
from kinesphere.evaluate.seen import Met, seen_by
from kinesphere.models.checkpoint import FILE_NAME, read_provenance
from kinesphere.predict import load
from kinesphere.predict.fused import FILE_NAME as FUSION_FILE


@dataclass(frozen=True, eq=False)
class Rescored:
    """What the folds of a cross-validation say of clips that they had not met.

    Attributes:
        predictions: Of every clip, marked with its fold.
        protocol: How they came about.
        provenance: What computed them.
        notes: What a reader of their score must know.
    """

    predictions: Predictions
    protocol: Protocol
    provenance: Provenance
    notes: tuple[str, ...]


def fold_models(folder: Path) -> list[Path]:
    """The models of a cross-validation, in the order of its folds; none if the folder is something else."""
    if not folder.is_dir() or (folder / FILE_NAME).is_file() or (folder / FUSION_FILE).is_file():
        return []
    found = [path / FILE_NAME for path in folder.glob("fold-*") if (path / FILE_NAME).is_file()]
    return sorted(found, key=lambda path: (len(path.parent.name), path.parent.name))


def collect_folds(
    folder: Path,
    manifest: Manifest,
    *,
    compute: Compute,
    views: Views | None = None,
    extracts: Extracts = Extracts(),  # noqa: B008 (frozen)
    background: Background = "keep",
    progress: Callable[[int, int], None] | None = None,
) -> Rescored:
    """Score every clip with the fold that was tested on it.

    Args:
        folder: Of the cross-validation.
        manifest: Its data, or some of them.
        compute: Where the models run.
        views: Test views; None for those of the folds' own tests.
        extracts: Where extracted files lie.
        background: What becomes of the surroundings of people.
        progress: Told how far it is.

    Raises:
        InvalidSetting: If a clip is not in the test part of exactly one fold, so that no model, or not one
            alone, may be asked about it.
    """
    models = fold_models(folder)
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
    parts, done = [], 0
    for number, model in enumerate(models):
        chosen = [i for i, sample in enumerate(manifest) if tested[sample.id] == [number]]
        if not chosen:
            continue
        predictor = load(model.parent, compute=compute)
        part = collect(
            predictor, manifest.select(chosen), views=views, extracts=extracts, background=background,
            progress=_behind(progress, done, len(manifest)),
        )  # fmt: skip
        parts.append(part.in_fold(model.parent.name))
        done += len(chosen)
    protocol = protocol_of(
        predictor,
        manifest,
        views or predictor.test_views,
        split=f"{len(models)} folds",
        background=background,
    )
    notes = (
        (f"{len(flattered)} clips were tested by folds that had learnt from them or their files.",)
        if flattered
        else ()
    )
    provenance = replace(provenance_of(predictor), model=str(folder))
    return Rescored(Predictions.pooled(parts), protocol, provenance, notes)


def _behind(
    progress: Callable[[int, int], None] | None, done: int, total: int
) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda count, _: progress(done + count, total)
