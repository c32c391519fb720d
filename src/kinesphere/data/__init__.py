"""Data: labelled videos as tables, splits, clips and batches."""

from kinesphere.data.cache.frames import FrameCache
from kinesphere.data.dataset import Batch, ClipDataset, Item
from kinesphere.data.loader import make_loader
from kinesphere.data.manifest import Manifest
from kinesphere.data.preflight import Preflight, check
from kinesphere.data.sample import Sample
from kinesphere.data.sampler import Draw, EpochSampler
from kinesphere.data.sources import Opening
from kinesphere.data.split import Fold, holdout, kfold, leave_one_group_out

__all__ = [
    "Batch",
    "ClipDataset",
    "Draw",
    "EpochSampler",
    "Fold",
    "FrameCache",
    "Item",
    "Manifest",
    "Opening",
    "Preflight",
    "Sample",
    "check",
    "holdout",
    "kfold",
    "leave_one_group_out",
    "make_loader",
]
