"""Whether a run may begin or go on in its folder: what is there, with which settings, on which data."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.threads import UsableThreads
from kinesphere.data.content import Content
from kinesphere.data.manifest import Manifest
from kinesphere.train.recipe import Recipe
from kinesphere.train.run_folder import RunFiles
from kinesphere.train.splits_csv import SplitTable

if TYPE_CHECKING:
    from kinesphere.train.splits import Parts

log = logging.getLogger("kinesphere.train")

CHANGEABLE = (
    "out", "log.", "test.", "compute.workers", "compute.threads", "train.checkpoint_",
    "data.source", "data.cache", "data.cache_gb", "probe.cache",
)  # fmt: skip
"""Settings that may differ when a run is resumed, because they leave its weights as they are; of the number
of threads, up to rounding. The place of the data is one: what lies there is compared with what the run has
seen."""


def prepare(files: RunFiles, resolved: Recipe, parts: Parts, out: str | None, resume: bool) -> bool:
    """Make the folder ready for a run.

    Args:
        files: Of the run; claimed.
        resolved: Its recipe, every `auto` decided.
        parts: Its samples.
        out: The folder as the user named it.
        resume: Whether to go on with what is there.

    Returns:
        Whether there is something left to do; else the run is finished.

    Raises:
        InvalidSetting: If the folder holds something else, or the run there was made with other settings or
            data; the message says what differs.
        InvalidManifest: If the list of the run's samples is damaged.
    """
    if files.folds.is_file() and files.holds_a_cross_validation:
        raise InvalidSetting(
            f"{files.folder} holds a cross-validation; resume it as one, choose another `out`, or delete it."
        )
    if not resume:
        if files.holds_a_run:
            raise InvalidSetting(
                f"{files.folder} already holds a run; resume it, choose another `out`, or delete it."
            )
        _start_afresh(files)
        return True
    if out is None:
        raise InvalidSetting("Resuming needs the run's folder; give it as `out`.")
    if not files.holds_a_run or not files.recipe.is_file():
        if files.holds_a_run:
            raise InvalidSetting(
                f"{files.folder} holds a model or a report, but no {files.recipe.name}: it is no run that "
                "could go on. Choose another `out`."
            )
        log.warning("%s holds no run yet; starting it.", files.folder)
        _start_afresh(files)
        return True
    longer = check_settings(files, resolved)
    check_data(files, parts)
    return _has_work(files, resolved, longer)


def with_threads_of(files: RunFiles, resolved: Recipe) -> Recipe:
    """A recipe with the number of threads that the run in the folder has computed with, if one is noted.

    A machine with fewer cores computes with all that it has: more threads would wait for each other.

    Raises:
        InvalidSetting: If the recipe of that run is damaged.
    """
    if not (files.holds_a_run and files.recipe.is_file()):
        return resolved
    then = Recipe.load(files.recipe).compute.threads
    if then == "auto":  # a run of before, or one on a GPU
        return resolved
    threads = min(then, UsableThreads.here().count)
    return resolved.model_copy(update={"compute": resolved.compute.model_copy(update={"threads": threads})})


def check_data(files: RunFiles, parts: Parts) -> None:
    """Refuse data that are not those that a run was begun with.

    Raises:
        InvalidSetting: If they differ; the message says in what.
        InvalidManifest: If the list of the run's samples is damaged.
    """
    if not files.splits.is_file():
        log.warning(
            "%s does not say which samples the run has seen; the data are taken as they are.", files.folder
        )
        return
    now, then = SplitTable.of(parts.whole, parts.uses(), parts.contents), SplitTable.read(files.splits)
    if changed := now.differences(then):
        raise refuse_data(files, changed)


def check_samples(files: RunFiles, manifest: Manifest) -> None:
    """The same before the data are divided, as far as their table tells: for those that cannot be.

    Raises:
        InvalidSetting: If there are other samples, labels or spans.
        InvalidManifest: If the list of the run's samples is damaged.
    """
    if not files.splits.is_file():
        return
    now = SplitTable.of(manifest, {}, defaultdict(Content))
    if changed := now.differences(SplitTable.read(files.splits), divided=False):
        raise refuse_data(files, changed)


def refuse_data(files: RunFiles, changed: list[str]) -> InvalidSetting:
    """The error for a run that was begun with other data.

    Args:
        files: Of the run.
        changed: What differs, a phrase each.
    """
    return InvalidSetting(
        f"The data are not those that the run in {files.folder} was begun with: {'; '.join(changed)}. "
        "It would be tested on what it has learnt from, or learn other classes than its own. Bring the "
        "data back as they were, or train anew with another `out`."
    )


def check_settings(files: RunFiles, now: Recipe) -> bool:
    """Refuse other settings than those that a run was begun with, unless they leave its weights as they are.

    Args:
        files: Of the run, or of a cross-validation.
        now: The settings to go on with.

    Returns:
        Whether the run is to become longer than it was begun.

    Raises:
        InvalidSetting: If others differ; the message says which.
    """
    before = _as_absolute(Recipe.load(files.recipe), now)
    after, then = now.train.epochs, before.train.epochs
    longer = after is not None and then is not None and after > then
    lines = now.differences(before)
    compared = files.folds.is_file() or files.splits.is_file()
    changeable = CHANGEABLE if compared else tuple(key for key in CHANGEABLE if key != "data.source")
    if compared:
        changeable += tuple(f"joint.sets.{name}.source" for name in now.joint.sets)
    if longer:
        changeable += ("train.epochs",)
    changed = [line for line in lines if not line.startswith(changeable)]
    if changed:
        lowered = any(line.startswith("train.epochs") for line in changed)
        epochs = " Epochs may be raised, not lowered." if lowered else ""
        raise InvalidSetting(
            f"The run in {files.folder} was begun with other settings (now / then): {'; '.join(changed)}."
            f"{epochs} Resume it with its own recipe.yaml, or choose another `out`."
        )
    if lines := [line for line in lines if not line.startswith(("out", "data.", "joint."))]:
        rates = " The learning rate follows the new length from here on." if longer else ""
        log.info("Settings changed (now / then): %s.%s", "; ".join(lines), rates)
    return longer


def _as_absolute(before: Recipe, now: Recipe) -> Recipe:
    """A recipe of before with the same weights to start from named as now, in full."""
    then, start = before.model.pretrained, now.model.pretrained
    if not isinstance(then, str) or not isinstance(start, str) or str(Path(then).resolve()) != start:
        return before
    return before.model_copy(update={"model": before.model.model_copy(update={"pretrained": start})})


def _start_afresh(files: RunFiles) -> None:
    files.clear_start()
    for path in (files.unreadable, files.damaged, files.metrics, files.start):
        path.unlink(missing_ok=True)


def _has_work(files: RunFiles, resolved: Recipe, longer: bool) -> bool:
    if longer:
        _refuse_to_prolong_early_stopped(files)
        files.clear_scores()
        return True
    if files.report.is_file():
        log.info("The run in %s is finished; there is nothing left to do.", files.folder)
        return False
    if not files.state.is_file():
        if files.last.is_file():
            raise InvalidSetting(
                f"{files.folder} holds trained weights, but {files.state.relative_to(files.folder)} is gone, "
                "so the run cannot go on, and would begin anew over them. Bring the file back, or choose "
                "another `out`."
            )
        log.warning("%s holds no state to go on from; the run begins anew.", files.folder)
    return True


def _refuse_to_prolong_early_stopped(files: RunFiles) -> None:
    from kinesphere.train.checkpoints import read_state

    if not files.state.is_file():
        return
    callbacks: dict[str, Any] = read_state(files.state)["callbacks"]
    stopping = next((state for name, state in callbacks.items() if name.startswith("EarlyStopping")), None)
    if stopping is not None and stopping["wait_count"] >= stopping["patience"]:
        raise InvalidSetting(
            f"The run in {files.folder} was ended by train.early_stopping, not by its length, so more would "
            "not be trained. Start another from its model: model.pretrained names the folder."
        )
