"""`RunFiles`: what lies where in a run folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kinesphere.core.files import claiming, make_folder, sweep

_IDENTITIES = ("wandb-run-id", "mlflow-run-id")


@dataclass(frozen=True)
class RunFiles:
    """Paths in a run folder.

    Attributes:
        folder: The run folder.
    """

    folder: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.folder / "recipe.yaml"

    @property
    def model(self) -> Path:
        """Best weights by validation; the last ones without validation."""
        return self.folder / "model.safetensors"

    @property
    def last(self) -> Path:
        """Weights of the last step."""
        return self.folder / "checkpoints" / "last.safetensors"

    @property
    def state(self) -> Path:
        """Everything needed to resume."""
        return self.folder / "checkpoints" / "state.ckpt"

    @property
    def metrics(self) -> Path:
        """One row per epoch."""
        return self.folder / "metrics.csv"

    @property
    def splits(self) -> Path:
        """What every sample was used for (see `SplitTable`)."""
        return self.folder / "splits.csv"

    @property
    def unreadable(self) -> Path:
        """Files that could not be read, and why; absent if there are none."""
        return self.folder / "unreadable.csv"

    @property
    def damaged(self) -> Path:
        """Files that were used but not whole, and why; absent if there are none."""
        return self.folder / "damaged.csv"

    @property
    def report(self) -> Path:
        """Scores of the held-out samples; its presence marks a finished run."""
        return self.folder / "report.json"

    @property
    def page(self) -> Path:
        """The report as a page."""
        return self.folder / "report.html"

    @property
    def predictions(self) -> Path:
        """The answers of the model to every held-out sample."""
        return self.folder / "predictions.parquet"

    @property
    def validation_predictions(self) -> Path:
        """The answers to the validation samples; written when weights of a fusion are learned."""
        return self.folder / "validation.parquet"

    @property
    def folds(self) -> Path:
        """Of a cross-validation: how its folds are made."""
        return self.folder / "folds.json"

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
            path.unlink(missing_ok=True)
