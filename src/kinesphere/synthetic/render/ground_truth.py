"""What generated videos show, on disk: exactly, and as the files that models read.

`truth/<id>.npz` holds joints, boxes and masks as they are, and flow to 1/32 pixel. The same lies in pose,
mask and flow files below `truth/videos`, so that the folder `truth` can be named wherever a folder of
extracted files can (`data.extracts` in training): models then see true joints, masks and motion.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinesphere.clips.modalities.flow import file as flow_file
from kinesphere.clips.modalities.mask import file as mask_file
from kinesphere.clips.modalities.pose import file as pose_file
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.npz import BROKEN, read_arrays
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.skeleton import COCO17
from kinesphere.core.errors import InvalidManifest
from kinesphere.core.files import replacing
from kinesphere.synthetic.render.render import GroundTruth, Rendered

_ORIGIN = "the mannequin"
# Flow is kept to this part of a pixel; all its digits would take several times the space.
_FLOW_STEPS = 32
# Finer steps than this many pixels over 127 are no use, however still everything is.
_LEAST_BOUND_PX = 1.0


def video_file(name: str, root: Path) -> Path:
    """The video of a set in `root` that is called `name`."""
    return root / "videos" / f"{name}.mp4"


def ground_truth_files(name: str, root: Path, *, flow: bool) -> tuple[Path, ...]:
    """All files of ground truth about one video, that of its flow last and where there is one."""
    extracts, video = Extracts(root / "truth", root), video_file(name, root)
    suffixes = (pose_file.SUFFIX, mask_file.SUFFIX, *([flow_file.SUFFIX] if flow else []))
    return root / "truth" / f"{name}.npz", *(extracts.place(video, suffix) for suffix in suffixes)


def write_ground_truth(rendered: Rendered, name: str, fps: float, root: Path) -> None:
    """Write all files of ground truth about one video."""
    truth = rendered.ground_truth
    size = truth.mask.shape[2:]
    exact, poses, masks, *moving = ground_truth_files(name, root, flow=truth.flow is not None)
    save_ground_truth(truth, exact)
    pose_file.write_poses(_poses(rendered, fps), poses)
    people = np.any(truth.mask, axis=1).astype(np.uint8) * 255
    mask_file.write_masks(masks, people, size=size, origin=_ORIGIN)
    if truth.flow is not None:
        fields = truth.flow[: max(len(truth.flow) - 1, 1)].transpose(0, 2, 3, 1)
        flow_file.write_flow(
            moving[0],
            fields,
            size=size,
            method="truth",
            bound_px=max(float(np.abs(fields).max()), _LEAST_BOUND_PX),
            frames=len(truth.flow),
        )


def save_ground_truth(truth: GroundTruth, path: Path) -> None:
    """Write one `truth/<id>.npz`, atomically; masks are packed to bits along rows."""
    content = {
        "joints2d": truth.joints2d,
        "joints3d": truth.joints3d,
        "boxes": truth.boxes,
        "mask": np.packbits(truth.mask, axis=-1),
        "size": np.array(truth.mask.shape[2:]),
    }
    if truth.flow is not None:
        content["flow"] = (np.round(truth.flow * _FLOW_STEPS) / _FLOW_STEPS).astype(np.float16)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **content)


def load_ground_truth(path: str | Path) -> GroundTruth:
    """Read one `truth/<id>.npz`.

    Raises:
        InvalidManifest: If the file is missing or is no such file.
    """
    try:
        file = read_arrays(Path(path))
        height, width = (int(n) for n in file["size"])
        mask = np.unpackbits(file["mask"], axis=-1, count=width).astype(bool)
        return GroundTruth(
            file["joints2d"],
            file["joints3d"],
            file["boxes"],
            mask.reshape(*mask.shape[:2], height, width),
            file["flow"].astype(np.float32) if "flow" in file else None,
        )
    except BROKEN as error:
        raise InvalidManifest(
            f"{path} is not the ground-truth file of a generated video ({error}); generate the set again."
        ) from error


def _poses(rendered: Rendered, fps: float) -> Poses:
    """Joints in pixels and in the world; those outside the image are not seen."""
    truth = rendered.ground_truth
    height, width = truth.mask.shape[2:]
    hidden = ~np.any(truth.boxes, axis=-1, keepdims=True)
    return Poses(
        times=rendered.times,
        keypoints=truth.joints2d[..., :2],
        scores=truth.joints2d[..., 2],
        tracks=np.arange(1, truth.joints2d.shape[1] + 1),
        skeleton=COCO17.name,
        frame_size=(height, width),
        boxes=np.where(hidden, np.float32(np.nan), truth.boxes),
        world=truth.joints3d,
        fps=fps,
        origin=_ORIGIN,
    )
