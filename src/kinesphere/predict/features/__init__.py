"""Features of videos: what a recogniser makes of window after window, kept in files with their clock.

`extract.FeatureExtractor` makes them with any registered model, `foreign.read_foreign` reads those of other
programs; both give `file.VideoFeatures`, whose rows carry their time in seconds.
"""

from kinesphere.predict.features.extract import FeatureExtractor, FeatureGrid, FeaturePredictor
from kinesphere.predict.features.file import SUFFIX, VideoFeatures, read_features, write_features
from kinesphere.predict.features.foreign import FOREIGN, FrameGrid, read_foreign

__all__ = [
    "FOREIGN",
    "SUFFIX",
    "FeatureExtractor",
    "FeatureGrid",
    "FeaturePredictor",
    "FrameGrid",
    "VideoFeatures",
    "read_features",
    "read_foreign",
    "write_features",
]
