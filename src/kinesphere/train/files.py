"""`RunFiles`: what lies where in a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
    def predictions(self) -> Path:
        """What the model said of every held-out sample."""
        return self.folder / "predictions.parquet"

    @property
    def validation_predictions(self) -> Path:
        """What the model said of the validation samples; written when weights of a fusion are learned."""
        return self.folder / "validation.parquet"

    def sweep(self) -> None:
        """Remove the half-written files of a run that was killed."""
        for folder in (self.folder, self.state.parent):
            for pattern in (".*.tmp", "*.part"):
                for path in folder.glob(pattern):
                    path.unlink(missing_ok=True)
