"""Where the clips of a sample come from: a video with the files of its modalities, or a pose file alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinesphere.clips.modalities.flow.file import SUFFIX as FLOW_SUFFIX
from kinesphere.clips.modalities.flow.file import FlowFile
from kinesphere.clips.modalities.mask.file import SUFFIX as MASK_SUFFIX
from kinesphere.clips.modalities.mask.file import MaskFile
from kinesphere.clips.modalities.pose.attach import attached
from kinesphere.clips.modalities.pose.file import SUFFIX, read_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.modalities.pose.track import PoseTrack
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.spec import ClipSpec
from kinesphere.data.cache.frames import CachedVideo, FrameCache
from kinesphere.data.wrapped import WrappedVideo
from kinesphere.video import Video


def open_source(
    path: Path,
    specs: Sequence[ClipSpec],
    *,
    span: tuple[float, float] | None = None,
    cache: FrameCache | None = None,
    extracts: Extracts = Extracts(),  # noqa: B008 (frozen)
    poses: Path | Poses | None = None,
    masks: bool = False,
    threads: int | None = None,
) -> Video | CachedVideo | AnnotatedVideo | PoseTrack:
    """Open what the specs need of a file.

    Args:
        path: A video, or a `.pose.npz` file, which gives poses and no pictures.
        specs: What will be read.
        span: See `FrameCache.open`.
        cache: Where decoded frames are kept.
        extracts: Where files of poses and flow lie. Flow without a file is computed from the frames.
        poses: The video's pose file, if it lies elsewhere; or the poses themselves, of all of the video
            or of the part that will be read.
        masks: Whether masks are needed beside what the specs need.
        threads: See `Video.open`.

    Raises:
        VideoError: If the video cannot be opened.
        InvalidAnnotation: If a file of poses or masks is needed and missing, or a file cannot be read or
            belongs to another video.
    """
    if path.name.endswith(SUFFIX):
        return PoseTrack(path)
    needs = {spec.modality for spec in specs}
    known = poses if isinstance(poses, Poses) else None
    if "pose" in needs and known is None:
        known = read_poses(poses if isinstance(poses, Path) else extracts.need(path, SUFFIX))
    flow_path = extracts.find(path, FLOW_SUFFIX) if "flow" in needs else None
    flow = FlowFile.open(flow_path) if flow_path is not None else None
    people = MaskFile.open(extracts.need(path, MASK_SUFFIX)) if masks or "mask" in needs else None
    video = cache.open(path, span) if cache is not None else Video.open(path, threads=threads)
    if known is None and flow is None and people is None:
        return video
    try:
        if known is not None and known is not poses:
            known = attached(known, video)
        return AnnotatedVideo(video, poses=known, flow=flow, masks=people)
    except BaseException:
        video.close()
        raise


def lacks_flow(path: Path, specs: Sequence[ClipSpec], extracts: Extracts) -> str | None:
    """What is to be said of a video without a flow file where there is a folder for such files, or None."""
    if extracts.folder is None or all(spec.modality != "flow" for spec in specs):
        return None
    if extracts.find(path, FLOW_SUFFIX) is not None:
        return None
    return f"there is no flow file of it in {extracts.folder}, so its flow is estimated from the frames"


class AnnotatedVideo(WrappedVideo[Video | CachedVideo]):
    """A video of which more is known than its pictures.

    Args:
        video: The video; closed together with this.
        poses: Of its frames, at any rate and size.
        flow: Of all its frames, at any size.
        masks: Of all its frames, at any size.

    Raises:
        InvalidAnnotation: If flow or masks have another number of frames, and so belong to another video.
    """

    def __init__(
        self,
        video: Video | CachedVideo,
        *,
        poses: Poses | None = None,
        flow: FlowFile | None = None,
        masks: MaskFile | None = None,
    ) -> None:
        super().__init__(video)
        self._poses = poses
        self._flow = flow
        self._masks = masks
        for file in (flow, masks):
            if file is not None:
                file.attached(video)

    def beside(self, modality: str) -> Any | None:
        """What is known of a modality, if anything (see `clips.modality.beside`)."""
        return {"pose": self._poses, "flow": self._flow, "mask": self._masks}.get(modality)
