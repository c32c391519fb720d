"""Joints of generated people as a pose estimator would find them: thousands of clips a minute, no pixels.

Movements are enacted with all variety (`motion.variety`), seen by cameras all round, and their joints then
lose what real ones lose: estimators jitter, miss joints and confuse sides, sensors in space have no ears,
people stand with their legs outside of the image, cameras follow them, and frame rates differ.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.clips.modalities.pose.file import SUFFIX, write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.pinhole import framing, tilted
from kinesphere.clips.skeleton import COCO17
from kinesphere.core.labels import LabelSet
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import Sample
from kinesphere.synthetic.body.body import COCO, Array, Placement, forward_kinematics
from kinesphere.synthetic.body.performer import Performer
from kinesphere.synthetic.clips import cast
from kinesphere.synthetic.motion.variety import enact
from kinesphere.synthetic.settings import SPLITS, MannequinSettings

_POSES = 6  # stream of random numbers under the data set's seed
_RATES_HZ = (8.0, 10.0, 12.5, 15.0, 25.0, 30.0)
_FACE = tuple(COCO17.index(f"{side}_{part}") for side in ("left", "right") for part in ("eye", "ear"))
_LOWER = tuple(COCO17.index(f"{side}_{part}") for side in ("left", "right") for part in ("knee", "ankle"))
_FEET = tuple(COCO17.index(f"{side}_ankle") for side in ("left", "right"))
_HIPS = tuple(COCO17.index(f"{side}_hip") for side in ("left", "right"))


@dataclass(frozen=True)
class PoseClip:
    """One generated clip of joints.

    Attributes:
        id: Name of its file.
        label: The base movement that it shows.
        split: `"train"`, `"val"` or `"test"`.
        performer: Number within the set.
        poses: The joints.
    """

    id: str
    label: str
    split: str
    performer: int
    poses: Poses


def pose_clips(settings: MannequinSettings, *, views: int = 2) -> Iterator[PoseClip]:
    """All clips of a set: `settings.clips_per_class` performances, each seen by `views` cameras.

    Classes, splits, performers, image size, `view_deg`, `elevation_deg` and seed are taken from the settings.
    """
    for split in SPLITS:
        for label in settings.classes:
            for number in range(settings.clip_count(label, split)):
                yield from _performance(settings, label, split, number, views)


def write_pose_clips(clips: Iterable[PoseClip], folder: Path, label_of: Mapping[str, str]) -> Path:
    """Write pose files and the manifest over them, as `kinesphere train` reads it.

    Args:
        clips: What to write.
        folder: Where; gets `poses/<id>.pose.npz` and `manifest.csv`.
        label_of: The class that a base movement shows; a movement that is not in it is a class of its own.

    Returns:
        Path of the manifest; performers are its groups.

    Raises:
        InvalidManifest: If there are no clips.
    """
    samples = []
    for clip in clips:
        path = folder / "poses" / f"{clip.id}{SUFFIX}"
        write_poses(clip.poses, path)
        label = label_of.get(clip.label, clip.label)
        group = f"performer{clip.performer:03d}"
        extra = (("movement", clip.label),)
        samples.append(Sample(clip.id, path, (label,), None, group, clip.split, extra))
    labels = LabelSet(tuple(sorted({label for sample in samples for label in sample.labels})))
    manifest = Manifest(tuple(samples), labels, folder)
    manifest.write(folder / "manifest.csv")
    return folder / "manifest.csv"


def _performance(
    settings: MannequinSettings, label: str, split: str, number: int, views: int
) -> Iterator[PoseClip]:
    entropy = (settings.seed, _POSES, zlib.crc32(label.encode()), SPLITS.index(split), number)
    generator = np.random.default_rng(entropy)
    performers = settings.pool(split, settings.performers)
    index = performers[int(generator.integers(len(performers)))]
    performer = cast(settings, index)
    sequence, (start_s, end_s) = enact(label, performer, generator)
    rate_hz = float(generator.choice(_RATES_HZ))
    times = np.arange(max(4, round((end_s - start_s) * rate_hz))) / rate_hz
    placed = forward_kinematics(performer.body, sequence.pose(times + start_s, performer.body))
    for view in range(views):
        name = f"{split}_{label.replace(' ', '-')}_{number:05d}_{view}"
        poses = seen(placed, performer, times, rate_hz, settings, generator)
        yield PoseClip(name, label, split, index, poses)


def seen(
    placed: Placement,
    performer: Performer,
    times_s: Array,
    rate_hz: float,
    settings: MannequinSettings,
    generator: np.random.Generator,
    *,
    azimuth_deg: float | None = None,
) -> Poses:
    """Joints in space as an estimator finds them in the image of a camera somewhere around.

    Args:
        placed: All joints at T times.
        performer: Whose they are.
        times_s: `(T,)` seconds.
        rate_hz: Frames a second.
        settings: Image size and where cameras stand.
        generator: Draws the camera and all errors.
        azimuth_deg: Bearing of a camera on a tripod, left positive; None draws one that may follow people.
    """
    points = _as_defined(placed, performer, generator)
    azimuth, elevation = _bearing(settings, generator)
    if azimuth_deg is not None:
        azimuth = math.radians(azimuth_deg)
    focal, margin = float(generator.uniform(0.7, 2.5)), float(generator.uniform(0.05, 0.5))
    camera = framing(points.reshape(-1, 3), azimuth, elevation, focal, settings.size, margin)
    camera = tilted(camera, float(generator.normal(0, 0.07)))
    pixels = camera.project(points)[..., :2]
    if azimuth_deg is None:
        pixels = _followed(pixels, generator)
    size = float(np.linalg.norm(np.ptp(pixels, axis=1), axis=1).mean())
    pixels = pixels + _errors(pixels.shape, generator) * size
    scores = _scores(len(pixels), generator)
    pixels = _confused(pixels, generator)
    return Poses(
        times=times_s,
        keypoints=pixels[:, None].astype(np.float32),
        scores=scores[:, None].astype(np.float32),
        tracks=np.array([1]),
        skeleton=COCO17.name,
        frame_size=settings.size,
        fps=rate_hz,
        origin="the mannequin",
    )


def _bearing(settings: MannequinSettings, generator: np.random.Generator) -> tuple[float, float]:
    """Azimuth and elevation of a camera in radians: anywhere, yet mostly before the person and level."""
    most, (low, high) = settings.view_deg, settings.elevation_deg
    azimuth = float(generator.uniform(-most, most))
    if generator.random() < 0.4:
        azimuth = float(np.clip(generator.normal(0, 30), -most, most))
    level = min(max(0.0, low), high)
    elevation = float(generator.triangular(low, level, high)) if low < high else low
    return math.radians(azimuth), math.radians(elevation)


def _as_defined(placed: Placement, performer: Performer, generator: np.random.Generator) -> Array:
    """COCO joints `(T, 17, 3)`; each estimator and sensor puts them a little elsewhere in the body."""
    points = placed.positions[:, COCO].copy()
    height = performer.body.proportions.height_m
    local = generator.normal(0, 0.012 * height, (len(COCO), 3))
    points += np.einsum("tjab,jb->tja", placed.orientations[:, COCO], local)
    inwards = float(generator.uniform(-0.2, 0.35))
    pelvis = placed.of("pelvis")[:, None]
    points[:, _HIPS] += inwards * (pelvis - points[:, _HIPS])
    if generator.random() < 0.4:  # sensors in space know the middle of the head and call it the nose
        middle = placed.of("head") + 0.5 * (placed.of("head_top") - placed.of("head"))
        points[:, 0] += float(generator.uniform(0.5, 1.0)) * (middle - points[:, 0])
    return points


def _followed(pixels: Array, generator: np.random.Generator) -> Array:
    """What a camera sees that stands still, or follows the person more or less."""
    if generator.random() < 0.45:
        return pixels
    way = pixels[:, _HIPS].mean(axis=1, keepdims=True)
    share = np.array(
        [min(1.0, generator.uniform(0.5, 1.5)), generator.uniform(0.0, 1.0) * (generator.random() < 0.4)]
    )
    followed: Array = pixels - share * (way - way.mean(axis=0, keepdims=True))
    return followed


def _errors(shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Errors `(T, J, 2)` in body sizes: some from frame to frame, some that drift."""
    frames, joints, _ = shape
    quick = generator.normal(0, 1, shape) * generator.gamma(1.5, 0.004)
    slow = generator.normal(0, 1, (2, joints, 2)) * generator.gamma(1.5, 0.006)
    part = np.linspace(0, 1, frames)[:, None, None]
    errors: Array = quick + slow[0] * (1 - part) + slow[1] * part
    return errors


def _scores(frames: int, generator: np.random.Generator) -> Array:
    """Scores `(T, J)`; 0 is a joint that was not found."""
    joints = len(COCO17)
    scores = np.clip(generator.normal(generator.uniform(0.6, 1.0), 0.1, (frames, joints)), 0.05, 1.0)
    lost = generator.random((frames, joints)) < generator.choice([0.0, 0.02, 0.08])
    never = generator.random(joints) < generator.choice([0.0, 0.03])
    if generator.random() < 0.45:
        never[list(_FACE)] = True
    cut = float(generator.random())
    if cut < 0.05:
        never[list(_LOWER)] = True
    elif cut < 0.12:
        never[list(_FEET)] = True
    if never.all():
        never[:] = False
    scores[lost | never] = 0.0
    return scores


def _confused(pixels: Array, generator: np.random.Generator) -> Array:
    """Now and then left and right are exchanged for a while."""
    if generator.random() > 0.08:
        return pixels
    frames = len(pixels)
    start, length = int(generator.integers(frames)), int(generator.integers(1, max(2, frames // 4)))
    result = pixels.copy()
    result[start : start + length] = pixels[start : start + length][:, list(COCO17.mirror)]
    return result
