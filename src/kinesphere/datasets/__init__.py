"""Skeletons that others made: one file per format, and data sets turned into pose files and a manifest."""

from kinesphere.datasets.skeletons import DATASETS, SkeletonSet, import_skeletons

__all__ = ["DATASETS", "SkeletonSet", "import_skeletons"]
