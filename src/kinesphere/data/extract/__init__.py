"""Files of flow, poses and masks out of videos."""

from kinesphere.clips.archive import Extracts
from kinesphere.data.extract.flow import FlowExtractor
from kinesphere.data.extract.job import Extraction, Extractor, FileNote, Watch, extract
from kinesphere.data.extract.mask import MaskExtractor, mask_model
from kinesphere.data.extract.mediapipe_pose import PoseSettings, pose_model
from kinesphere.data.extract.pose import PoseExtractor

__all__ = [
    "Extraction",
    "Extractor",
    "Extracts",
    "FileNote",
    "FlowExtractor",
    "MaskExtractor",
    "PoseExtractor",
    "PoseSettings",
    "Watch",
    "extract",
    "mask_model",
    "pose_model",
]
