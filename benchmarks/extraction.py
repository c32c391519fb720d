"""Extracted flow, poses and masks against the truth of generated videos.

    python -m benchmarks.extraction [--selfie FILE] [--landmarker FILE]

Flow is compared on the pixels of people; the reference is the error of taking everything for still. Poses
and masks need MediaPipe and its models: `selfie_segmentation.tflite` and a `pose_landmarker_*.task`.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.record import Row, command_line, finish, significant
from kinesphere.annotations.extract.mask import PeopleFinder
from kinesphere.annotations.extract.mediapipe_pose import PoseFinder, PoseSettings
from kinesphere.clips.modalities.flow.estimate import BOUND_PX
from kinesphere.clips.modalities.flow.file import FlowFile, write_flow
from kinesphere.clips.modalities.flow.methods import Estimator, estimator, grey
from kinesphere.clips.skeleton import map_between
from kinesphere.clips.spec import FlowMethod
from kinesphere.synthetic import MannequinSettings, Rendered, plan_clips, render_clip

SIZE = (240, 320)
# A joint counts as found within this share of the torso (Yang and Ramanan, "Articulated Human Detection with
# Flexible Mixtures of Parts", PAMI 2013, section 8.2: PCK).
NEAR = 0.2
CLASSES = ("clap", "jump", "kick", "punch", "sit down", "turn", "walk", "wave")


@dataclass
class Errors:
    """End-point errors of pixels of people, in pixels."""

    found: list[np.ndarray]
    still: list[np.ndarray]

    def row(self, name: str, seconds: float, fields: int) -> Row:
        """A line of the table: on people, and on the tenth of their pixels that moves fastest."""
        found, still = np.concatenate(self.found), np.concatenate(self.still)
        fast = still >= np.quantile(still, 0.9)
        return {
            "what": name,
            "measure": "end-point error on people, px (fastest tenth)",
            "result": f"{significant(float(found.mean()))} ({significant(float(found[fast].mean()))})",
            "reference": f"{significant(float(still.mean()))} ({significant(float(still[fast].mean()))})",
            "ms/frame": significant(1e3 * seconds / fields),
        }


def videos(clips: int, size: tuple[int, int]) -> Iterator[Rendered]:
    """Movements of all classes by various performers in various scenes, with true flow."""
    settings = MannequinSettings(
        classes=CLASSES,
        clips_per_class=clips,
        splits=(1, 0, 0),
        size=size,
        fps=25,
        duration_s=(1.0, 1.0),
        performers=clips * 2,
        scenes=clips * 4,
        flow=True,
    )
    for plan in plan_clips(settings):
        yield render_clip(plan, settings)


def flow_rows(rendered: list[Rendered], methods: list[FlowMethod]) -> list[Row]:
    """Rows for each method, the first also through a flow file."""
    rows: list[Row] = []
    for method in methods:
        errors, seconds, fields = Errors([], []), 0.0, 0
        kept = Errors([], [])
        for video in rendered:
            found, took_s = estimated(estimator(method), video)
            seconds, fields = seconds + took_s, fields + len(found)
            collect(errors, found, video)
            if method == methods[0]:
                collect(kept, through_file(found), video)
        rows.append(errors.row(f"flow, {method}", seconds, fields))
        if method == methods[0]:
            rows.append({**kept.row(f"flow, {method}, from its file", seconds, fields), "ms/frame": ""})
    return rows


def estimated(estimate: Estimator, video: Rendered) -> tuple[np.ndarray, float]:
    """Fields `(T - 1, H, W, 2)` and the seconds they took."""
    pictures = grey(video.frames.transpose(0, 2, 3, 1))
    start = time.perf_counter()
    fields = [estimate(one, other) for one, other in pairwise(pictures)]
    return np.stack(fields), time.perf_counter() - start


def through_file(fields: np.ndarray) -> np.ndarray:
    """What a flow file keeps of fields."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.flow.npz"
        size = (fields.shape[1], fields.shape[2])
        write_flow(path, fields, size=size, method="dis", bound_px=BOUND_PX, frames=len(fields) + 1)
        return FlowFile.open(path).fields(np.arange(len(fields)))


def collect(errors: Errors, fields: np.ndarray, video: Rendered) -> None:
    assert video.ground_truth.flow is not None
    for i, field in enumerate(fields):
        people = video.ground_truth.mask[i].any(0)
        truth = video.ground_truth.flow[i].transpose(1, 2, 0)
        errors.found.append(np.linalg.norm(field - truth, axis=-1)[people])
        errors.still.append(np.linalg.norm(truth, axis=-1)[people])


def mask_row(rendered: list[Rendered], name: str, model: Path, every: int) -> Row:
    """How well the masks of one model overlap the truth."""
    shared = either = frames = 0
    seconds = 0.0
    with PeopleFinder(model) as finder:
        for video in rendered:
            for picture, mask in zip(video.frames[::every], video.ground_truth.mask[::every], strict=True):
                start = time.perf_counter()
                found = finder.find(np.ascontiguousarray(picture.transpose(1, 2, 0))) > 127
                seconds += time.perf_counter() - start
                truth = mask.any(0)
                shared += int((found & truth).sum())
                either += int((found | truth).sum())
                frames += 1
    return {
        "what": f"mask, {name}",
        "measure": "intersection over union of people's pixels",
        "result": f"{shared / either:.3f}",
        "reference": "",
        "ms/frame": significant(1e3 * seconds / frames),
    }


def pose_row(rendered: list[Rendered], model: Path, every: int) -> Row:
    """Share of the true joints in the picture that are found; those of a person who is missed are not."""
    to_coco = map_between("blazepose33", "coco17")
    right = joints = seen = frames = 0
    seconds = 0.0
    with PoseFinder(PoseSettings(model, people=1)) as finder:
        for video in rendered:
            for picture, people in zip(
                video.frames[::every], video.ground_truth.joints2d[::every], strict=True
            ):
                start = time.perf_counter()
                found = finder.find(np.ascontiguousarray(picture.transpose(1, 2, 0)))
                seconds += time.perf_counter() - start
                points, inside = people[0, :, :2], people[0, :, 2] > 0
                joints += int(inside.sum())
                frames += 1
                if not len(found.keypoints):
                    continue
                seen += 1
                away = np.linalg.norm(to_coco.points(found.keypoints)[0] - points, axis=-1)
                right += int((away <= NEAR * torso(points))[inside].sum())
    return {
        "what": f"pose, {model.stem}",
        "measure": f"joints within {NEAR:g} of the torso (PCK); frames with a person found",
        "result": f"{right / joints:.3f}; {seen / frames:.3f}",
        "reference": "",
        "ms/frame": significant(1e3 * seconds / frames),
    }


def torso(points: np.ndarray) -> float:
    """Length in pixels from a shoulder to the hip across, the longer of the two; COCO joints `(17, 2)`."""
    return max(float(np.linalg.norm(points[a] - points[b])) for a, b in ((5, 12), (6, 11)))


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--clips", type=int, default=2, help="videos of each movement")
    parser.add_argument("--every", type=int, default=5, help="frames between those with masks and poses")
    parser.add_argument("--tvl1", action="store_true", help="measure TV-L1 as well, which takes long")
    parser.add_argument("--selfie", type=Path, help="selfie_segmentation.tflite")
    parser.add_argument("--landmarker", type=Path, help="a pose_landmarker_*.task")
    args = parser.parse_args()
    rendered = list(videos(args.clips, SIZE))
    methods: list[FlowMethod] = ["dis", "farneback"]
    rows = flow_rows(rendered, [*methods, "tvl1"] if args.tvl1 else methods)
    notes = []
    has_mediapipe = importlib.util.find_spec("mediapipe") is not None
    for name, model in (("selfie", args.selfie), ("landmarker", args.landmarker)):
        if model is None or not has_mediapipe:
            notes.append(f"Masks by {name} were left out: MediaPipe or the model is not here.")
            continue
        rows.append(mask_row(rendered, f"{name} ({model.stem})", model, args.every))
        if name == "landmarker":
            rows.append(pose_row(rendered, model, args.every))
    frames = sum(len(video.frames) for video in rendered)
    height, width = SIZE
    notes.append(
        f"{len(rendered)} videos, {frames} frames of {width}x{height} at 25 fps, with motion blur, sensor "
        "noise and a hand-held camera; before video compression."
    )
    notes.append("Reference: everything taken for still.")
    finish("extraction", "Extraction against the truth", parser, args, rows, notes=notes)


if __name__ == "__main__":
    main()
