"""One video of one piece of a recorded motion: who plays it, where, and from where it is seen."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.synthetic.body.body import INDEX, Array, Body, rotation
from kinesphere.synthetic.body.performer import Performer
from kinesphere.synthetic.clips import Shot, cast, film
from kinesphere.synthetic.motion.motion import Recorded
from kinesphere.synthetic.render.render import Figure, Rendered
from kinesphere.synthetic.settings import SPLITS, MannequinSettings

_CAPTURE = 5  # stream of random numbers under the data set's seed
# Who moves further than this within a video is too small in the image of a camera that stands still.
_MAX_EXTENT_M = 5.0
_LEAST_S = 1.0

Span = tuple[float, float]
"""From when to when, in seconds."""


@dataclass(frozen=True)
class CapturePlan(Shot):
    """What one video shows of a recorded motion.

    Attributes:
        motion: Name of the motion.
        start_s: Where in it the video begins.
    """

    motion: str
    start_s: float


def cut(recorded: Recorded, longest_s: float, fps: float) -> tuple[Span, ...]:
    """The pieces of a motion that become videos, of equal length.

    It is one piece unless it lasts longer than `longest_s` or leads further over the floor than a still
    camera shows well; for its way alone, no piece gets shorter than a second.

    Raises:
        InvalidAnnotation: If the motion is shorter than two frames at `fps`.
    """
    whole_s = recorded.duration_s
    if whole_s * fps < 2:
        raise InvalidAnnotation(f"It lasts {whole_s:.3f} s, less than two frames at {fps:g} frames a second.")
    count = math.ceil(whole_s / longest_s)
    way = recorded.pose(np.arange(0, whole_s, 0.1), Body()).root[:, :2]
    while whole_s / (count + 1) >= _LEAST_S:
        extent = max(float(np.hypot(*np.ptp(piece, axis=0))) for piece in np.array_split(way, count))
        if extent <= _MAX_EXTENT_M:
            break
        count += 1
    length_s = whole_s / count
    return tuple((piece * length_s, (piece + 1) * length_s) for piece in range(count))


def plan_captures(
    settings: MannequinSettings, name: str, label: str, split: str, pieces: Sequence[Span], renderings: int
) -> Iterator[CapturePlan]:
    """The videos of one motion: each of its pieces as often as `renderings`, by different performers."""
    performers, scenes = settings.pool(split, settings.performers), settings.pool(split, settings.scenes)
    for number, (start_s, end_s) in enumerate(pieces):
        piece = (settings.seed, _CAPTURE, zlib.crc32(name.encode()), SPLITS.index(split), number)
        shift = int(np.random.default_rng(piece).integers(len(performers)))
        for rendering in range(renderings):
            generator = np.random.default_rng((*piece, rendering))
            yield CapturePlan(
                id=f"{name}_{number:02d}_{rendering:02d}",
                label=label,
                split=split,
                performer=performers[(shift + rendering) % len(performers)],
                scene=scenes[int(generator.integers(len(scenes)))],
                duration_s=end_s - start_s,
                azimuth_deg=float(generator.uniform(-settings.view_deg, settings.view_deg)),
                entropy=(*piece, rendering),
                motion=name,
                start_s=start_s,
            )


def render_capture(plan: CapturePlan, recorded: Recorded, settings: MannequinSettings) -> Rendered:
    """Draw the video of a plan."""
    generator = np.random.default_rng((*plan.entropy, 1))
    performer = cast(settings, plan.performer)
    figure = staged(recorded, performer, plan.start_s, plan.times(settings.fps))
    return film(figure, plan, settings, generator)


def staged(recorded: Recorded, performer: Performer, start_s: float, times_s: Array) -> Figure:
    """The performer who faces +x when the video begins, and whose way over the floor is about the origin."""
    pose = recorded.pose(np.asarray(times_s) + start_s, performer.body)
    left = pose.rotations[0, INDEX["pelvis"], :, 1]
    yaw = -math.atan2(-left[0], left[1])
    way = pose.root @ rotation("z", np.array(yaw)).T
    x, y = -(way.min(axis=0) + way.max(axis=0))[:2] / 2
    return Figure(performer, recorded, (float(x), float(y)), yaw, start_s)
