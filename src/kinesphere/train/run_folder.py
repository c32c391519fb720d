"""`RunFiles`: what lies where in a run folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kinesphere.core.files import claiming, make_folder, sweep, unwritable
from kinesphere.evaluate.predictions import FILE_NAME as PREDICTIONS
from kinesphere.models.checkpoint import SETS

_IDENTITIES = ("wandb-run-id", "mlflow-run-id")


class _Path:
    """A path in the folder that an object names."""

    def __init__(self, *parts: str) -> None:
        self._parts = parts

    def __get__(self, of: RunFiles, kind: type[RunFiles]) -> Path:
        return of.folder.joinpath(*self._parts)


@dataclass(frozen=True)
class RunFiles:
    """Paths in a run folder.

    Attributes:
        folder: The run folder.
    """

    folder: Path

    recipe = _Path("recipe.yaml")
    """The resolved recipe."""
    model = _Path("model.safetensors")
    """Best weights by validation; the last ones without validation."""
    last = _Path("checkpoints", "last.safetensors")
    """Weights of the last step."""
    joint = _Path("checkpoints", "joint.safetensors")
    """Of a joint training, what `model` is of others: the network with the heads of all sets."""
    state = _Path("checkpoints", "state.ckpt")
    """Everything needed to resume."""
    start = _Path("start.json")
    """What of the weights at the start was loaded, reset and shared; absent without such weights."""
    metrics = _Path("metrics.csv")
    """One row per epoch."""
    probes = _Path("probes.csv")
    """Of a run of probes: what each of them came to where one was chosen."""
    rebalanced = _Path("rebalanced.csv")
    """Of a run that changed a head by a rule: what each tau came to on the validation samples."""
    features = _Path("features")
    """Of a run of probes, or of one that tried values of tau: the features of its clips, unless a folder for
    them was named. May be deleted."""
    splits = _Path("splits.csv")
    """What every sample was used for (see `SplitTable`)."""
    unreadable = _Path("unreadable.csv")
    """Files that could not be read, and why; absent if there are none."""
    damaged = _Path("damaged.csv")
    """Files that were used but not whole, and why; absent if there are none."""
    report = _Path("report.json")
    """Scores of the held-out samples; its presence marks a finished run."""
    page = _Path("report.html")
    """The report as a page."""
    predictions = _Path(PREDICTIONS)
    """The answers of the model to every held-out sample."""
    validation_predictions = _Path("validation.parquet")
    """The answers to the validation samples; written when weights of a fusion are learned."""
    folds = _Path("folds.json")
    """Of a cross-validation: how its folds are made."""

    def weights(self, *, joint: bool) -> Path:
        """Where the weights are kept that training chooses."""
        return self.joint if joint else self.model

    def of_set(self, name: str) -> RunFiles:
        """Paths of one data set of a joint training: its model, its report and its predictions."""
        return RunFiles(self.folder / SETS / name)

    @property
    def holds_a_run(self) -> bool:
        """Whether something was trained here that would be lost by training anew.

        A recipe alone does not count: a start that failed leaves no more than that.
        """
        return any(path.is_file() for path in (self.state, self.model, self.last, self.report))

    @property
    def holds_a_cross_validation(self) -> bool:
        """Whether a fold of a cross-validation was trained here."""
        return any(RunFiles(fold).holds_a_run for fold in self.folder.glob("fold-*"))

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other trainings out of the folder; it is made, and goes again if nothing comes to lie in it.

        Raises:
            InUse: If another training is at work in it.
            UnwritableFile: If nothing can be written there.
        """
        made = []
        with suppress(OSError):  # a name that is no name: making it says so
            made = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        make_folder(self.folder)
        try:
            with claiming(self.folder / ".lock", f"The run folder {self.folder}"):
                yield
        finally:
            with suppress(OSError):  # those that hold something stay
                for folder in made:
                    folder.rmdir()

    def sweep(self) -> None:
        """Remove the half-written files of processes that were killed; for the holder of the claim."""
        for folder in (self.folder, self.state.parent):
            sweep(folder)
            for pattern in (".*.tmp", ".tmp*", "*.part"):  # of versions that wrote beside the file
                for path in filter(Path.is_file, folder.glob(pattern)):
                    path.unlink(missing_ok=True)

    def clear_start(self) -> None:
        """Remove what a start leaves that never came to train, so that the next one finds nothing of it."""
        for path in (self.recipe, self.splits, *(self.folder / name for name in _IDENTITIES)):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "tensorboard", ignore_errors=True)
        with suppress(OSError):
            self.state.parent.rmdir()

    def clear_scores(self) -> None:
        """Remove the results of weights that are about to change."""
        for path in (self.report, self.predictions, self.validation_predictions, self.page):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise unwritable(path, error) from error
