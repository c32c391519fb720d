"""Training: a recipe in, a run folder out. Lightning does the work, and loads when a run starts."""

from kinesphere.train.cross_validation import CrossValidation, cross_validate
from kinesphere.train.fusion import FusedRuns, fuse_runs
from kinesphere.train.recipe import Recipe
from kinesphere.train.run import Run, open_run, train

__all__ = [
    "CrossValidation",
    "FusedRuns",
    "Recipe",
    "Run",
    "cross_validate",
    "fuse_runs",
    "open_run",
    "train",
]
