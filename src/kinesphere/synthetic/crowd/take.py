"""The filming of a play: one camera that holds everybody, frames reel by reel, joints at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from kinesphere.clips.pinhole import PinholeCamera, framing, shake, view_name
from kinesphere.synthetic.body.body import Array
from kinesphere.synthetic.clips import location
from kinesphere.synthetic.crowd.script import Play
from kinesphere.synthetic.crowd.truth import Sight, sight
from kinesphere.synthetic.render.render import CameraEffects, Shooting, Stage
from kinesphere.synthetic.settings import MannequinSettings

_ROOM_M, _HIGH_M = 0.4, 2.05  # what the camera leaves for a body about its place, and for its arms
_AT_ONCE = 2048  # frames whose joints are looked at at once
_FOCAL, _MARGIN = 1.5, 0.03


@dataclass(frozen=True)
class Happening:
    """Something that several occurrences amount to.

    Attributes:
        label: What it is called.
        start_s, end_s: From the first of them to the last.
        people, things: Identities of who and what takes part.
    """

    label: str
    start_s: float
    end_s: float
    people: tuple[int, ...]
    things: tuple[int, ...]


@dataclass(frozen=True)
class Take:
    """A play, where it is set and from where it is seen.

    Attributes:
        id: Name of its files, without suffix.
        split: `"train"`, `"val"` or `"test"`.
        performers: Numbers of the people within the set.
        scene: Number of the scene within the set.
        azimuth_deg: Bearing of the camera from the middle of the floor.
        entropy: Seed of everything else.
        play: What happens.
        events: What that amounts to.
        script: Name of the script, where it was written for events.
    """

    id: str
    split: str
    performers: tuple[int, ...]
    scene: int
    azimuth_deg: float
    entropy: tuple[int, ...]
    play: Play
    events: tuple[Happening, ...] = ()
    script: str = ""

    @property
    def view(self) -> str:
        """The side from which the camera sees somebody who faces +x."""
        return view_name(self.azimuth_deg)

    def times(self, fps: float) -> Array:
        """When the frames are shown, (T,) seconds."""
        return np.arange(round(self.play.duration_s * fps)) / fps


class Filming:
    """One take before its camera.

    Args:
        take: What is filmed.
        settings: Image, rate, and what the camera makes of the scene.
    """

    def __init__(self, take: Take, settings: MannequinSettings) -> None:
        self.take, self.settings = take, settings
        self.times = take.times(settings.fps)
        generator = np.random.default_rng((*take.entropy, 1))
        elevation = math.radians(float(generator.uniform(*settings.elevation_deg)))
        self._yaw = float(generator.uniform(0, 2 * math.pi))
        self._exposure = float(generator.uniform(0.85, 1.15))
        spots = np.array([(x, y, 0.0) for x, y in take.play.spots])
        room = np.array(
            [(x, y, z) for x in (-_ROOM_M, _ROOM_M) for y in (-_ROOM_M, _ROOM_M) for z in (0.0, _HIGH_M)]
        )
        held = (spots[:, None] + room).reshape(-1, 3)
        azimuth = math.radians(take.azimuth_deg)
        self.camera: PinholeCamera = framing(held, azimuth, elevation, _FOCAL, settings.size, _MARGIN)

    def shooting(self) -> Shooting:
        """The video, to be drawn reel by reel."""
        settings, play = self.settings, self.take.play
        # Who walks far must not walk through walls: rooms are as large as the play needs.
        scene = location(settings, self.take.scene)
        stage = Stage(replace(scene, room_m=_roomy(scene.room_m)), self._yaw)
        effects = CameraEffects(settings.shutter, settings.shake, settings.noise, self._exposure)
        return Shooting(play.figures, stage, self.camera, self.times, effects, self._generator(), play.things)

    def sights(self) -> Sight:
        """Where everybody and everything is in every frame."""
        # The hand that holds the camera trembles alike, whether a video is drawn or not.
        maps = shake(self.times, self.settings.shake, self.camera.size, self._generator())
        parts = [
            sight(self.take.play, self.camera, maps[i : i + _AT_ONCE], self.times[i : i + _AT_ONCE])
            for i in range(0, len(self.times), _AT_ONCE)
        ]
        names = ("joints2d", "joints3d", "boxes", "visible")
        return Sight(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng((*self.take.entropy, 2))


def _roomy(room_m: tuple[float, float, float]) -> tuple[float, float, float]:
    return (max(room_m[0], 6.0), max(room_m[1], 6.0), room_m[2])
