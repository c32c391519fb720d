"""One video of one piece of a recorded motion: who plays it, where, and from where it is seen."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.data.mannequin.body import INDEX, Array, Body, rotation
from kinesphere.data.mannequin.clips import Shot, cast, film
from kinesphere.data.mannequin.motion import Recorded
from kinesphere.data.mannequin.performer import Performer
from kinesphere.data.mannequin.render import Figure, Rendered
from kinesphere.data.mannequin.settings import SPLITS, MannequinSettings

_CAPTURE = 5  # stream of random numbers under the data set's seed
# Who moves further than this within a video is too small in the picture of a camera that stands still.
_REACH_M = 5.0
_LEAST_S = 1.0


@dataclass(frozen=True)
class CapturePlan(Shot):
    """What one video shows of a recorded motion.

    Attributes:
        motion: Name of the motion.
        start_s: Where in it the video begins.
    """

    motion: str
    start_s: float


def plan_captures(
    settings: MannequinSettings,
    name: str,
    label: str,
    split: str,
    recorded: Recorded,
    renderings: int,
    longest_s: float,
) -> Iterator[CapturePlan]:
    """The videos of one motion: each of its pieces as often as `renderings`, by different performers.

    A motion that lasts longer than `longest_s`, or leads further over the floor than a still camera shows
    well, is cut into pieces of equal length.

    Raises:
        InvalidAnnotation: If the motion is shorter than two frames of video.
    """
    if recorded.duration_s * settings.fps < 2:
        raise InvalidAnnotation(
            f"It lasts {recorded.duration_s:.3f} s, less than two frames at {settings.fps} frames a second."
        )
    performers, scenes = settings.pool(split, settings.performers), settings.pool(split, settings.scenes)
    count = _pieces(recorded, longest_s)
    length_s = recorded.duration_s / count
    for piece in range(count):
        motion = (settings.seed, _CAPTURE, zlib.crc32(name.encode()), SPLITS.index(split), piece)
        shift = int(np.random.default_rng(motion).integers(len(performers)))
        for number in range(renderings):
            generator = np.random.default_rng((*motion, number))
            yield CapturePlan(
                id=f"{name}_{piece:02d}_{number:02d}",
                label=label,
                split=split,
                performer=performers[(shift + number) % len(performers)],
                scene=scenes[int(generator.integers(len(scenes)))],
                duration_s=length_s,
                azimuth_deg=float(generator.uniform(-settings.view_deg, settings.view_deg)),
                entropy=(*motion, number),
                motion=name,
                start_s=piece * length_s,
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


def _pieces(recorded: Recorded, longest_s: float) -> int:
    """Into how many equal pieces a motion is cut; none gets shorter than a second for its way alone."""
    count = math.ceil(recorded.duration_s / longest_s)
    way = recorded.pose(np.arange(0, recorded.duration_s, 0.1), Body()).root[:, :2]
    while recorded.duration_s / (count + 1) >= _LEAST_S:
        pieces = np.array_split(way, count)
        if max(float(np.hypot(*np.ptp(piece, axis=0))) for piece in pieces if len(piece)) <= _REACH_M:
            break
        count += 1
    return count
