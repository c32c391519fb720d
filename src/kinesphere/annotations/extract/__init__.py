"""Files of flow, poses and masks out of videos."""

from kinesphere.annotations.extract.flow import FlowExtractor
from kinesphere.annotations.extract.job import Extraction, Extractor, Watch, extract
from kinesphere.annotations.extract.mask import MaskExtractor, mask_model
from kinesphere.annotations.extract.mediapipe_pose import PoseSettings, pose_model
from kinesphere.annotations.extract.pose import PoseExtractor
from kinesphere.clips.sidecar import Extracts

__all__ = [
    "Extraction",
    "Extractor",
    "Extracts",
    "FlowExtractor",
    "MaskExtractor",
    "PoseExtractor",
    "PoseSettings",
    "Watch",
    "extract",
    "mask_model",
    "pose_model",
]
