"""The pose modality: the joints of the people in a clip, `(T, M, J, 3)` as x px, y px, score.

Joints in space are `(T, M, J, 4)`, x, y, z in metres and score; the image plane does not concern them:
they are neither cropped, resized nor warped, and a flip negates x. Places of the M people that nobody
takes, and joints that were not seen, are zeros with score 0. Joints may lie outside a crop.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch

from kinesphere.clips.augment.parameters import AugmentParameters
from kinesphere.clips.clip import Clip
from kinesphere.clips.geometry import Size, plan_frames, view_boxes
from kinesphere.clips.modalities.pose.align import align_bodies
from kinesphere.clips.modalities.pose.alone import cut, of_people
from kinesphere.clips.modalities.pose.attach import attached
from kinesphere.clips.modalities.pose.draw import draw_people
from kinesphere.clips.modalities.pose.file import SUFFIX, open_poses
from kinesphere.clips.modalities.pose.geometry import crop, flip, in_space, moved, resize, warp
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.modalities.pose.prepared import differences, prepared
from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.modalities.pose.track import PoseTrack
from kinesphere.clips.modality import MODALITIES, Modality, PersonByPerson, Sidecar
from kinesphere.clips.reading import sampled
from kinesphere.clips.sampling import STEADY, ClipTimes, TemporalJitter
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.clips.source import VideoSource, beside, displayed_rows, duration_of, start_of
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.errors import InvalidAnnotation, InvalidClip, InvalidSetting, NobodySeen

# The box of `resize="people"` is this much larger than the people on every side together, and at least so
# many pixels high and wide.
_PEOPLE_ROOM = 0.25
_LEAST_PX = 10.0


def read(
    video: VideoSource,
    spec: ClipSpec,
    span: tuple[float, float] | None = None,
    *,
    views: Views = Views(),  # noqa: B008 (frozen)
    generator: torch.Generator | None = None,
    jitter: TemporalJitter = STEADY,
    enlarge: float = 1.0,
) -> list[Clip]:
    """The joints at the timestamps that a network sees of a span; see `Reader` for the arguments.

    The M people are those seen for longest in the span, in the order of their tracks, so that one place
    is one person in all clips of it. Poses taken at another frame rate or size than the video's are
    brought to its clock and its pixels. Joints are where displayed frames have them; where the spec counts
    at a rate of its own, they are where they are at that time, on the line between two poses.

    Returns:
        V clips; float32 `(T, M, J, D + 1)` with the spec's D, M and skeleton.

    Raises:
        InvalidAnnotation: If the source has no poses, or not such as the spec asks for.
        InvalidSetting: If several crops are asked for in training or of joints in space.
        SpanOutsideVideo: If the span starts after the end of the video.
    """
    if views.crops > 1 and (generator is not None or spec.dimensions == 3):
        raise InvalidSetting(f"Views {views} need frames to crop, in testing; use {views.clips}x1.")
    timestamps = sampled(video, spec, span, views.clips, generator, jitter)
    poses = known_poses(video)
    times = np.concatenate([stamps.times for stamps in timestamps])
    if spec.fps is None:
        times = video.frame_times()[displayed_rows(video, times)]
    # Poses of an hour are not to be changed for the sake of a clip of a second.
    around = poses.around(times)
    near = _as_asked(poses[around.rows], video, spec)
    if poses.people > 1:
        during = poses.during(span or (start_of(video), duration_of(video)))
        near = near.of(during.tracks[_as_asked(during, video, spec).leading(spec.people)])
    joints = _filled(around.joints(near.keypoints, near.scores), spec.people)
    if not joints[..., -1].any():
        start_s, end_s = times.min(), times.max()
        warnings.warn(
            NobodySeen(
                f"{video.source}: nobody is seen between {start_s:.2f} and "
                f"{end_s:.2f} s; the clip is all zeros."
            ),
            stacklevel=2,
        )
    clips: list[Clip] = []
    for i, stamps in enumerate(timestamps):
        part = slice(i * spec.length, (i + 1) * spec.length)
        clips += _views(joints[part], times[part], stamps, video.size, spec, views, generator, enlarge)
    return clips


def _as_asked(poses: Poses, video: VideoSource, spec: ClipSpec) -> Poses:
    """Poses with the joints that a spec names, in space or in the pixels of the video."""
    placed = poses.in_space() if spec.dimensions == 3 else poses.in_pixels().resized(video.size)
    return placed.to(_skeleton(spec))


def known_poses(video: VideoSource) -> StoredPoses:
    """The poses of a source that knows them: a video with a pose file, or the file alone.

    Raises:
        InvalidAnnotation: If it has none.
    """
    known: StoredPoses | None = beside(video, "pose")
    if known is None:
        raise InvalidAnnotation(
            "This model sees poses, but the source has none; run `kinesphere extract pose` on it first."
        )
    return known


def _views(
    joints: np.ndarray,
    times: np.ndarray,
    stamps: ClipTimes,
    frame_size: Size,
    spec: ClipSpec,
    views: Views,
    generator: torch.Generator | None,
    enlarge: float,
) -> list[Clip]:
    """One clip as training sees it, whole, or its crops for testing."""
    if spec.dimensions == 3:
        frame_size = spec.size
    whole = Clip(
        torch.from_numpy(joints), times, frame_size, "pose", stamps.repeated, skeleton=_skeleton(spec)
    )
    if spec.dimensions == 3:
        return [whole]
    whole = _on_canvas(whole, spec, enlarge)
    if generator is not None:
        return [whole]
    boxes = view_boxes(whole.frame_size, spec.size, views.crops)
    return [flip(crop(whole, box), spec) if is_flipped else crop(whole, box) for box, is_flipped in boxes]


def _on_canvas(clip: Clip, spec: ClipSpec, enlarge: float) -> Clip:
    """The clip at the size that the spec's resize policy gives, as the frame readers would decode it."""
    if spec.resize == "people":
        clip = _around_people(clip, spec)
    policy = spec.with_(resize="stretch") if spec.resize == "people" else spec
    plan = plan_frames(clip.frame_size, policy, enlarge=enlarge)
    clip = resize(clip, plan.decode)
    top, left = ((plan.canvas[i] - plan.decode[i]) // 2 for i in (0, 1))
    return moved(clip, float(left), float(top), plan.canvas)


def _around_people(clip: Clip, spec: ClipSpec) -> Clip:
    """The frame cut to the box around all joints of the clip (PoseC3D, Duan et al. 2022, section 4.1).

    The box has the shape of the spec's size and a margin of a quarter about the people, and may extend
    outside the frame. A clip without people keeps its frame.
    """
    points = clip.data[clip.data[..., -1] > 0][:, :2].numpy()
    if not len(points):
        return clip
    low, high = points.min(0), points.max(0)
    extent = np.maximum((high - low) * (1 + _PEOPLE_ROOM), _LEAST_PX)
    ratio = spec.size[1] / spec.size[0]
    width, height = max(extent[0], extent[1] * ratio), max(extent[1], extent[0] / ratio)
    corner = (low + high) / 2 - np.array([width, height]) / 2
    size = (max(1, round(height)), max(1, round(width)))
    return moved(clip, -float(corner[0]) - 0.5, -float(corner[1]) - 0.5, size)


def normalise(batch: torch.Tensor, spec: ClipSpec, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Coordinates as a network takes them; scores stay, joints that were not seen are zeros.

    Pixels become fractions of the frame's width and height, metres are aligned as the spec says; then
    `(x - mean) / std`. With mean and std of 0.5 the frame reaches from -1 to 1.

    Args:
        batch: `(..., T, M, J, D + 1)` on any device.
        spec: Dimensions D, alignment, mean, standard deviation, and the size in pixels.
        dtype: Floating-point type of the result.

    Raises:
        InvalidClip: If the last axis is another.
    """
    if batch.shape[-1] != spec.dimensions + 1 or not batch.is_floating_point():
        raise InvalidClip(
            f"Joints to normalise are floating point (..., T, M, J, {spec.dimensions + 1}); "
            f"got {batch.dtype} {tuple(batch.shape)}."
        )
    points, scores = batch[..., :-1].float(), batch[..., -1:].float()
    if spec.dimensions == 2:
        height, width = spec.size
        points = (points + 0.5) / points.new_tensor([width, height])
    elif spec.align != "none":
        points = align_bodies(
            points, scores[..., 0], SKELETONS.get(_skeleton(spec)), turn=spec.align == "body"
        )
    points = (points - points.new_tensor(spec.mean)) / points.new_tensor(spec.std)
    return torch.cat([points.where(scores > 0, 0.0), scores], -1).to(dtype)


def blend(own: torch.Tensor, partners: torch.Tensor, weight: float) -> torch.Tensor:
    """Two normalised batches `(..., D + 1)` as one, by the fraction of the first.

    A joint that both saw is at the weighted mean of its places; one that only one of them saw is where that
    one has it. Scores are weighted sums.
    """
    mean = torch.lerp(partners, own, weight)
    in_own, in_partners, scores = own[..., -1:] > 0, partners[..., -1:] > 0, mean[..., -1:]
    places = torch.where(in_own & in_partners, mean, torch.where(in_own, own, partners))[..., :-1]
    return torch.cat([places.where(scores > 0, 0.0), scores], -1)


def draw(clip: Clip) -> np.ndarray:
    """The skeletons on black: uint8 `(T, H, W, 3)`; joints in space as seen from the front."""
    joints, skeleton = clip.data.numpy(), SKELETONS.get(clip.skeleton or "")
    if not in_space(clip):
        return draw_people(joints, skeleton, clip.frame_size)
    points, seen = joints[..., :2] * (1, -1), joints[..., -1] > 0
    size = (256, 256)
    if not seen.any():
        return np.zeros((len(clip), *size, 3), np.uint8)
    low, high = points[seen].min(0), points[seen].max(0)
    scale = 0.9 * size[0] / max(*(high - low), 1e-3)
    flat = (points - (low + high) / 2) * scale + size[0] / 2
    return draw_people(np.concatenate([flat, joints[..., -1:]], -1), skeleton, size)


def _filled(joints: np.ndarray, people: int) -> np.ndarray:
    count, seen, *rest = joints.shape
    result = np.zeros((count, people, *rest), np.float32)
    result[:, :seen] = joints
    return result


def _skeleton(spec: ClipSpec) -> str:
    if spec.skeleton is None:
        raise InvalidSetting("A pose clip names its skeleton; this spec is of another modality.")
    return spec.skeleton


def check_spec(spec: ClipSpec) -> None:
    """Refuse a contract that is not about joints of some skeleton, in pixels or in space.

    Raises:
        InvalidSetting: Says why.
    """
    if spec.skeleton is None:
        raise InvalidSetting("A pose clip names its skeleton, and only a pose clip does.")
    if len(spec.mean) != spec.dimensions:
        raise InvalidSetting(
            f"A pose clip has {spec.dimensions} coordinates; got mean {spec.mean} and std {spec.std}."
        )
    if spec.align != "none" and spec.dimensions != 3:
        raise InvalidSetting("Alignment is for joints in space; set dimensions=3, or align='none'.")


def check_clip(clip: Clip) -> None:
    """Refuse what is not `(T, M, J, 3)` or `(T, M, J, 4)` of a named skeleton.

    Raises:
        InvalidClip: Says why.
    """
    if clip.data.dim() != 4 or clip.data.shape[3] not in (3, 4):
        raise InvalidClip(f"A pose clip is (T, M, J, 3) or (T, M, J, 4); got {tuple(clip.data.shape)}.")
    if clip.skeleton is None:
        raise InvalidClip("A pose clip names its skeleton, and only a pose clip does.")


def alter(clip: Clip, parameters: AugmentParameters, spec: ClipSpec) -> Clip:
    """The joints moved at random, or lost."""
    return parameters.joints.apply(clip)


def shape(spec: ClipSpec) -> tuple[int, ...]:
    """`(M, J, D + 1)`."""
    return spec.people, len(SKELETONS.get(_skeleton(spec))), spec.dimensions + 1


def sees_nobody(batch: torch.Tensor) -> torch.Tensor:
    """bool `(B,)`: where nobody is seen in any view of `(B, V, T, M, J, D + 1)`."""
    return ~(batch[..., -1].flatten(1) > 0).any(1)


def add_noise(batch: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Joints that are moved at random, each by itself; those that are missing stay so.

    Args:
        batch: `(B, V, T, M, J, D + 1)`, the confidence last.
        strength: Standard deviation along each axis, as a fraction of the people's height in the clip.
        generator: Where it is drawn.
    """
    seen, y = batch[..., -1:] > 0, batch[..., 1:2]
    beyond = torch.full_like(y, torch.inf)
    highest = torch.where(seen, y, -beyond).flatten(1).amax(1)
    lowest = torch.where(seen, y, beyond).flatten(1).amin(1)
    height = (highest - lowest).clamp(min=0)  # where nobody is seen nothing moves
    scale = strength * height.view(-1, *[1] * (batch.dim() - 1))
    moved = batch[..., :-1] + torch.randn(batch[..., :-1].shape, generator=generator) * scale
    return torch.cat([torch.where(seen, moved, batch[..., :-1]), batch[..., -1:]], -1)


MODALITIES.add(
    "pose",
    Modality(
        read=read,
        crop=crop,
        resize=resize,
        flip=flip,
        warp=warp,
        normalise=normalise,
        draw=draw,
        what="poses",
        check_spec=check_spec,
        check_clip=check_clip,
        shape=shape,
        settings=frozenset({"skeleton", "people", "dimensions", "align"}),
        alter=alter,
        blend=blend,
        is_picture=False,
        sees_nothing=sees_nobody,
        noise=add_noise,
        sidecar=Sidecar(
            SUFFIX,
            open_poses,
            attached,
            alone=PoseTrack,
            prepared=prepared,
            differences=differences,
            people=PersonByPerson(of_people, cut),
        ),
    ),
)
