"""Perspective cameras: placement, projection, viewing rays, and the shake of a hand that holds one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from kinesphere.core.errors import InvalidSetting

Array = npt.NDArray[Any]

VIEWS: tuple[str, ...] = (
    "front", "front-left", "left", "back-left", "back", "back-right", "right", "front-right",
)  # fmt: skip


@dataclass(frozen=True)
class PinholeCamera:
    """A pinhole camera that looks at a point.

    Attributes:
        position, target: World points in metres.
        focal: Focal length as a multiple of the frame's height.
        size: Frame `(H, W)` in pixels.
        roll_rad: Tilt of the horizon.
    """

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    focal: float
    size: tuple[int, int]
    roll_rad: float = 0.0

    def __post_init__(self) -> None:
        if self.focal <= 0 or min(self.size) < 16:
            raise InvalidSetting(
                f"A camera needs a positive focal length and a frame of at least 16×16 pixels; got focal="
                f"{self.focal} and size={self.size}."
            )

    @cached_property
    def axes(self) -> Array:
        """Rows: right, down, forward of the camera in the world, (3, 3)."""
        forward = np.array(self.target) - np.array(self.position)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        c, s = np.cos(self.roll_rad), np.sin(self.roll_rad)
        return np.stack([c * right + s * down, c * down - s * right, forward])

    def project(self, points: Array) -> Array:
        """World points (..., 3) to x px, y px, depth m, (..., 3); pixel centres are at integers."""
        height, width = self.size
        result: Array = (points - np.array(self.position, dtype=points.dtype)) @ self.axes.T.astype(
            points.dtype
        )
        np.maximum(result[..., 2], 0.05, out=result[..., 2])
        result[..., :2] *= self.focal * height / result[..., 2:]
        result[..., 0] += (width - 1) / 2
        result[..., 1] += (height - 1) / 2
        return result

    def rays(self, margin_px: int, sampling: float) -> tuple[Array, Array]:
        """Origin (3,) and directions (h, w, 3) float32 of the viewing rays, one metre forward each.

        Args:
            margin_px: Pixels seen beyond each border of the frame.
            sampling: Rays per pixel and axis.
        """
        height, width = self.size
        x, y = (
            (np.arange(round((n + 2 * margin_px) * sampling)) + 0.5) / sampling - margin_px - 0.5
            for n in (width, height)
        )
        scale = 1 / (self.focal * height)
        right, down, forward = self.axes
        across = ((x - (width - 1) / 2) * scale)[None, :, None] * right
        along = ((y - (height - 1) / 2) * scale)[:, None, None] * down
        return np.array(self.position), (forward + across + along).astype(np.float32)


def view_name(azimuth_deg: float) -> str:
    """The side from which a camera at `azimuth_deg` sees a figure (0 in front, 90 on the figure's left)."""
    return VIEWS[round(azimuth_deg / 45) % 8]


def framing(
    points: Array,
    azimuth_rad: float,
    elevation_rad: float,
    focal: float,
    size: tuple[int, int],
    margin: float,
) -> PinholeCamera:
    """The camera on a given bearing that holds all points in the frame.

    Args:
        points: World points (N, 3) to be seen.
        azimuth_rad: Bearing of the camera from the points, 0 along +x.
        elevation_rad: Height of the camera as an angle.
        focal: Focal length in frame heights.
        size: Frame `(H, W)` in pixels.
        margin: Fraction of the frame's half height and width to leave free, in [0, 1).
    """
    low, high = points.min(axis=0), points.max(axis=0)
    centre = (low + high) / 2
    bearing = np.array(
        [
            np.cos(azimuth_rad) * np.cos(elevation_rad),
            np.sin(azimuth_rad) * np.cos(elevation_rad),
            np.sin(elevation_rad),
        ]
    )
    target = (float(centre[0]), float(centre[1]), float(centre[2]))
    axes = PinholeCamera(tuple(centre + bearing), target, focal, size).axes
    local = (points - centre) @ axes.T
    half = np.array([size[1] / size[0] / 2, 0.5]) * (1 - margin) / focal
    # A point (x, z) is inside when |x| / (distance + z) <= half-width; the largest distance decides.
    needed = np.max(np.abs(local[:, :2]) / half - local[:, 2:3])
    distance = max(float(needed), 1.5)
    x, y, z = centre + bearing * distance
    return PinholeCamera((float(x), float(y), max(float(z), 0.25)), target, focal, size)


def tilted(camera: PinholeCamera, roll_rad: float) -> PinholeCamera:
    """The same camera with a tilted horizon."""
    return replace(camera, roll_rad=roll_rad)


def shake(times_s: Array, amount: float, size: tuple[int, int], generator: np.random.Generator) -> Array:
    """Affine maps (T, 2, 3) in pixels that a hand-held camera adds to the still frame.

    Args:
        times_s: Instants (T,).
        amount: 0 a tripod, 1 a hand, 2 an unsteady one.
        size: Frame `(H, W)`.
        generator: Draws frequencies and phases.
    """
    height, width = size
    frequency = generator.uniform(0.3, 2.2, (4, 3))
    phase = generator.uniform(0, 2 * np.pi, (4, 3))
    waves = np.sin(2 * np.pi * frequency * np.asarray(times_s)[:, None, None] + phase)
    dx, dy, turn, zoom = (waves.mean(axis=2) * amount).T
    turn, scale = 0.008 * turn, 1 + 0.008 * zoom
    c, s = np.cos(turn) * scale, np.sin(turn) * scale
    cx, cy = (width - 1) / 2, (height - 1) / 2
    tx = cx - c * cx + s * cy + 0.014 * height * dx
    ty = cy - s * cx - c * cy + 0.014 * height * dy
    return np.stack([np.stack([c, -s, tx], axis=1), np.stack([s, c, ty], axis=1)], axis=1)


def shaken(points: Array, maps: Array) -> Array:
    """Apply affine maps (..., 2, 3) to projected points (..., 3); depth is kept."""
    result = points.copy()
    x, y = points[..., 0], points[..., 1]
    result[..., 0] = maps[..., 0, 0] * x + maps[..., 0, 1] * y + maps[..., 0, 2]
    result[..., 1] = maps[..., 1, 0] * x + maps[..., 1, 1] * y + maps[..., 1, 2]
    return result
