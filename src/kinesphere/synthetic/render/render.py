"""Frames of figures in a scene, with the ground truth of what they show.

Surfaces of many small quads are sorted by depth and filled with their Lambert shade at twice the image's
resolution, several times within a frame's exposure where limbs are fast, then composed over the scene's
plate with a cast shadow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from kinesphere.clips.pinhole import PinholeCamera, shake, shaken
from kinesphere.synthetic.body.body import COCO, Array, Placement, forward_kinematics, rotation
from kinesphere.synthetic.body.performer import Performer
from kinesphere.synthetic.motion.motion import Motion, SceneObject
from kinesphere.synthetic.render.flow import true_flow
from kinesphere.synthetic.render.mesh import Mesh, build_mesh
from kinesphere.synthetic.scene.objects import Surface, object_surface
from kinesphere.synthetic.scene.scene import Light, Plate, Scene, render_plate

_SUPERSAMPLING = 2
_SUBPIXEL_BITS = 3
_MAX_EXPOSURES = 6
_PX_PER_EXPOSURE = 2.5
_TOUCH_M = 0.16  # parts lower than this darken the floor beneath them
_MOST = 128.5 / 255  # more than half of a pixel, 8-bit rounding set aside
_CHUNK = 48  # frames whose surfaces are in memory at once
_AT_ONCE = 4096  # frames whose joints are placed at once


@dataclass(frozen=True)
class Figure:
    """A performer who moves, somewhere on the floor.

    Attributes:
        performer: Who.
        motion: What.
        at_m: Where the motion's origin lies, (x, y) metres.
        yaw_rad: How its forward direction is turned.
            start_s: Motion time shown at video time 0.
    """

    performer: Performer
    motion: Motion
    at_m: tuple[float, float] = (0.0, 0.0)
    yaw_rad: float = 0.0
    start_s: float = 0.0

    def placed(self, times_s: Array) -> tuple[Placement, tuple[SceneObject, ...]]:
        """Joints and things at video times (T,), in the world."""
        body = self.performer.body
        own = np.asarray(times_s) + self.start_s
        placement = forward_kinematics(body, self.motion.pose(own, body))
        things = self.motion.objects(own, body, placement)
        turn, shift = rotation("z", np.array(self.yaw_rad)), np.array([*self.at_m, 0.0])
        moved = Placement(placement.positions @ turn.T + shift, turn @ placement.orientations)
        return moved, tuple(
            replace(t, positions=t.positions @ turn.T + shift, yaw_rad=t.yaw_rad + self.yaw_rad)
            for t in things
        )


@dataclass(frozen=True)
class CameraEffects:
    """What the camera makes of the scene.

    Attributes:
        shutter: Exposure as a fraction of the frame interval; blurs fast limbs.
        shake: 0 tripod, 1 hand-held.
        noise: Standard deviation of sensor noise in 8-bit steps.
        exposure: Brightness factor.
        tint: Colour cast, factors near 1.
    """

    shutter: float = 0.5
    shake: float = 0.5
    noise: float = 2.5
    exposure: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class GroundTruth:
    """What a video shows, exactly; M persons, pixel centres at integers.

    Attributes:
        joints2d: COCO joints (T, M, 17, 3) float32: x px, y px, 1 inside the image or 0 outside.
        joints3d: The same in the world (T, M, 17, 3) float32, metres; performer at the origin, z up.
        boxes: Around the visible pixels of each person (T, M, 4) float32: x0, y0, x1, y1; zeros if none.
        mask: Pixels where a person is seen (T, M, H, W) bool.
        flow: How far what each pixel shows moves to the next frame (T, 2, H, W) float32, x and y px; the last
            frame has the field before it. None unless it was asked for.
    """

    joints2d: Array
    joints3d: Array
    boxes: Array
    mask: Array
    flow: Array | None = None


@dataclass(frozen=True)
class Rendered:
    """Frames uint8 (T, 3, H, W), a view of channels-last memory; times (T,) in seconds; the ground truth."""

    frames: Array
    times: Array
    ground_truth: GroundTruth


@dataclass(frozen=True)
class Stage:
    """A scene as one performer's world: how it is turned, where the performer stands, what lies about."""

    scene: Scene
    yaw_rad: float = 0.0
    offset_m: tuple[float, float] = (0.0, 0.0)
    things: tuple[SceneObject, ...] = ()


def render(
    figures: Sequence[Figure],
    stage: Stage,
    camera: PinholeCamera,
    times_s: Array,
    effects: CameraEffects,
    generator: np.random.Generator,
    *,
    flow: bool = False,
) -> Rendered:
    """Draw figures in a scene at video times (T,), evenly spaced, in seconds; on request with true flow."""
    shooting = Shooting(figures, stage, camera, times_s, effects, generator)
    height, width = camera.size
    count = len(shooting.times)
    frames = np.empty((count, height, width, 3), np.uint8)
    mask = np.zeros((count, len(figures), height, width), bool)
    for reel in shooting.reels():
        frames[reel.first : reel.first + len(reel.frames)] = reel.frames
        mask[reel.first : reel.first + len(reel.frames)] = reel.mask
    fields = None
    if flow:
        surfaces = _surfaces(figures, shooting.meshes, stage.things, shooting.colours, shooting.times)
        fields = true_flow(surfaces, camera, shooting.maps)
    ground_truth = GroundTruth(shooting.joints2d, shooting.joints3d, mask_boxes(mask), mask, fields)
    return Rendered(frames.transpose(0, 3, 1, 2), shooting.times, ground_truth)


class Prop(Protocol):
    """A thing of which the ground truth tells, wherever it is and whoever has it."""

    def at(self, times_s: Array) -> SceneObject:
        """The thing at video times (T,), in the world."""


@dataclass(frozen=True)
class Reel:
    """Some successive frames of a video; M persons, then K things.

    Attributes:
        first: Number of its first frame.
        frames: uint8 (N, H, W, 3).
        mask: Pixels where each of them is seen, (N, M + K, H, W) bool.
        extents: Around the whole of each, whatever hides it, (N, M + K, 4) float32: x0, y0, x1, y1.
    """

    first: int
    frames: Array
    mask: Array
    extents: Array


class Shooting:
    """A video while it is drawn: reel after reel, so that its length costs no memory but for its joints.

    Args:
        figures: Who is seen.
        stage: Where.
        camera: From where.
        times_s: Video times (T,), evenly spaced, in seconds.
        effects: What the camera makes of it.
        generator: Draws shake, colours and noise.
        props: Things with ground truth of their own.
    """

    def __init__(
        self,
        figures: Sequence[Figure],
        stage: Stage,
        camera: PinholeCamera,
        times_s: Array,
        effects: CameraEffects,
        generator: np.random.Generator,
        props: Sequence[Prop] = (),
    ) -> None:
        self.figures, self.stage, self.camera, self.props = figures, stage, camera, props
        self.times = np.asarray(times_s, dtype=float)
        height = camera.size[0]
        margin = int(np.ceil(0.045 * height * max(effects.shake, 0.2))) + 1
        self._plate = render_plate(stage.scene, camera, stage.yaw_rad, stage.offset_m, margin)
        self._light = _turned(stage.scene.light, stage.yaw_rad)
        self.maps = shake(self.times, effects.shake, camera.size, generator)
        self.meshes = [build_mesh(figure.performer, 1 if height <= 240 else 2) for figure in figures]
        self.colours = generator.uniform(50, 215, (len(figures) + len(stage.things), 3))
        self._shutter = effects.shutter
        starts = range(0, len(self.times), _AT_ONCE)
        parts = [self._place(first, min(first + _AT_ONCE, len(self.times))) for first in starts]
        # Joined only where there are several: the order of an array in memory shows in the files.
        self.joints2d, self.joints3d, self._count = (
            each[0] if len(each) == 1 else np.concatenate(each) for each in zip(*parts, strict=True)
        )
        self._developer = _Developer(effects, camera.size, generator)

    def _place(self, first: int, last: int) -> tuple[Array, Array, Array]:
        """Joints of frames `first` to `last` in pixels and metres, and how many exposures each needs."""
        before, after = max(first - 1, 0), min(last + 1, len(self.times))
        own, maps = slice(first - before, last - before), self.maps[before:after, None]
        placed = [figure.placed(self.times[before:after])[0].positions for figure in self.figures]
        seen = [shaken(self.camera.project(positions), maps) for positions in placed]
        count = _exposures(seen, self._shutter)[own]
        joints3d = np.stack([p[:, COCO] for p in placed], axis=1).astype(np.float32)
        joints2d = np.stack([p[:, COCO] for p in seen], axis=1).astype(np.float32)
        x, y = joints2d[..., 0], joints2d[..., 1]
        height, width = self.camera.size
        joints2d[..., 2] = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
        return joints2d[own], joints3d[own], count

    def reels(self) -> Iterator[Reel]:
        """All frames in their order; once, since the sensor's noise is drawn on the way."""
        height, width = self.camera.size
        tracked = len(self.figures) + len(self.props)
        interval = float(self.times[1] - self.times[0]) if len(self.times) > 1 else 0.04
        for first in range(0, len(self.times), _CHUNK):
            count = self._count[first : first + _CHUNK]
            frame_of = np.repeat(np.arange(first, first + len(count)), count)
            ticks = np.concatenate([(np.arange(n) + 0.5) / n - 0.5 for n in count])
            exposed = self.times[frame_of] + ticks * self._shutter * interval
            surfaces = _surfaces(self.figures, self.meshes, self.stage.things, self.colours, exposed)
            for number, prop in enumerate(self.props):
                colour = self.colours[0]
                surfaces.append(object_surface(prop.at(exposed), colour, len(self.figures) + number))
            starts = np.cumsum(count) - count
            middles = starts + count // 2
            drawing = _Drawing(surfaces, self.camera, self._light, self.maps[frame_of], middles)
            frames = np.empty((len(count), height, width, 3), np.uint8)
            mask = np.zeros((len(count), tracked, height, width), bool)
            for i, n in enumerate(count):
                shots = range(int(starts[i]), int(starts[i] + n))
                image = drawing.compose(self._plate, self.maps[first + i], i, shots, mask[i])
                frames[i] = self._developer.develop(image)
            yield Reel(first, frames, mask, drawing.extents(middles, tracked))


class _Drawing:
    """Surfaces at S exposures, projected, shaded and ready to be filled."""

    def __init__(
        self, surfaces: Sequence[Surface], camera: PinholeCamera, light: Light, maps: Array, middles: Array
    ) -> None:
        self.camera, self.light = camera, light
        self.surfaces, self.maps = surfaces, maps[:, None].astype(np.float32)
        parts, owners, lows, highs = [], [], [], []
        for surface in surfaces:
            flat = shaken(camera.project(surface.vertices), self.maps)
            corners = flat[:, surface.faces]
            across_px, down_px = np.ascontiguousarray(flat[..., 0]), np.ascontiguousarray(flat[..., 1])
            lows.append(np.stack([across_px.min(axis=1), down_px.min(axis=1)], axis=1))
            highs.append(np.stack([across_px.max(axis=1), down_px.max(axis=1)], axis=1))
            depths = corners[..., 2].mean(axis=2) + surface.depth_bias_m
            across, along = corners[:, :, 2] - corners[:, :, 0], corners[:, :, 3] - corners[:, :, 1]
            fronts = across[..., 0] * along[..., 1] - across[..., 1] * along[..., 0] < 0
            parts.append((corners[..., :2], _shaded(surface, light), depths, fronts))
            owners.append(np.full(len(surface.faces), 255 if surface.owner < 0 else surface.owner + 1))
        self.lows, self.highs = lows, highs
        self.low, self.high = np.min(lows, axis=0), np.max(highs, axis=0)
        self.quads, self.shades, self.depths, self.fronts = (
            np.concatenate(each, axis=1) for each in zip(*parts, strict=True)
        )
        self.owners = np.concatenate(owners)
        self.shadows = self._cast(middles)

    def extents(self, shots: Array, tracked: int) -> Array:
        """Boxes (N, tracked, 4) around all of each person and thing at some exposures, as float32."""
        boxes = np.zeros((len(shots), tracked, 4), np.float32)
        for surface, low, high in zip(self.surfaces, self.lows, self.highs, strict=True):
            if surface.owner >= 0:
                boxes[:, surface.owner] = np.concatenate([low[shots], high[shots]], axis=1)
        return boxes

    def compose(self, plate: Plate, shaken: Array, index: int, shots: range, mask: Array) -> Array:
        """Frame `index` (H, W, 3) uint8 from its exposures; fills `mask` (M, H, W) with who is seen where."""
        height, width = self.camera.size
        back = _shift(shaken, plate.margin_px)
        image: Array = cv2.warpAffine(plate.rgb, back, (width, height), borderMode=cv2.BORDER_REFLECT)
        ground = cv2.warpAffine(plate.floor, back, (width, height), borderMode=cv2.BORDER_REFLECT)
        shadow = self._shadow(index)
        image = (image * (1 - shadow * ground)[..., None]).astype(np.float32)
        low = self.low[shots.start : shots.stop].min(axis=0)
        high = self.high[shots.start : shots.stop].max(axis=0)
        x0, y0 = np.clip(np.floor(low).astype(int) - 1, 0, (width, height))
        x1, y1 = np.clip(np.ceil(high).astype(int) + 2, 0, (width, height))
        if x1 > x0 and y1 > y0:
            rgb, cover, covered = self._expose(
                shots, (int(x0), int(y0)), (int(y1 - y0), int(x1 - x0)), len(mask)
            )
            region = image[y0:y1, x0:x1]
            region *= (1 - cover)[..., None]
            region += rgb
            mask[:, y0:y1, x0:x1] = covered > _MOST
        return image.astype(np.uint8)

    def _expose(
        self, shots: range, corner: tuple[int, int], size: tuple[int, int], persons: int
    ) -> tuple[Array, Array, Array]:
        """Mean over exposures of premultiplied RGB, cover, and cover by each person, on a region."""
        rgb = np.zeros((*size, 3), np.float32)
        cover, covered = np.zeros(size, np.float32), np.zeros((persons, *size), np.float32)
        target = (size[1], size[0])
        for shot in shots:
            layer = self._fill(shot, corner, size)
            owner = layer[..., 3]
            small = cv2.resize(layer, target, interpolation=cv2.INTER_AREA)
            rgb += small[..., :3]
            full = (owner > 0).astype(np.uint8) * 255
            cover += cv2.resize(full, target, interpolation=cv2.INTER_AREA)
            for person in range(persons):
                own = (owner == person + 1).astype(np.uint8) * 255
                covered[person] += cv2.resize(own, target, interpolation=cv2.INTER_AREA)
        return rgb / len(shots), cover / (255 * len(shots)), covered / (255 * len(shots))

    def _fill(self, shot: int, corner: tuple[int, int], size: tuple[int, int]) -> Array:
        """Painter's algorithm: the quads of one exposure, far to near, at twice the resolution."""
        layer = np.zeros((size[0] * _SUPERSAMPLING, size[1] * _SUPERSAMPLING, 4), np.uint8)
        visible = np.flatnonzero(self.fronts[shot])
        order = visible[np.argsort(-self.depths[shot, visible], kind="stable")]
        offset = np.array(corner, np.float32)
        at = (self.quads[shot, order] - offset + 0.5) * _SUPERSAMPLING - 0.5
        corners = _fixed(at)
        colours = np.concatenate([self.shades[shot, order], self.owners[order, None]], axis=1).tolist()
        fill = cv2.fillConvexPoly
        for points, colour in zip(corners, colours, strict=True):
            fill(layer, points, colour, 8, _SUBPIXEL_BITS)
        return layer

    def _cast(self, shots: Array) -> list[tuple[Array, Array, Array]]:
        """Per surface: vertices thrown on the floor along the light, and dropped straight, at half resolution
        and fixed point (S, V, 2), and the height of the lowest vertex of each part (S, parts)."""
        sun = np.array(self.light.direction, dtype=np.float32)
        result = []
        for surface in self.surfaces:
            points = surface.vertices[shots]
            thrown = points - sun * (points[..., 2:] / sun[2])
            dropped = points * np.array([1, 1, 0], np.float32)
            thrown, dropped = (
                _fixed(shaken(self.camera.project(p), self.maps[shots])[..., :2] / 2)
                for p in (thrown, dropped)
            )
            lowest = np.stack([points[:, a:b, 2].min(axis=1) for a, b in surface.parts], axis=1)
            result.append((thrown, dropped, lowest))
        return result

    def _shadow(self, frame: int) -> Array:
        """Darkness (H, W) 0–1 of the floor: each part's hull cast along the light and below it, softened."""
        height, width = self.camera.size
        cast = np.zeros(((height + 1) // 2, (width + 1) // 2), np.uint8)
        touch = np.zeros_like(cast)
        for surface, (thrown, dropped, lowest) in zip(self.surfaces, self.shadows, strict=True):
            for part, (start, end) in enumerate(surface.parts):
                hull = cv2.convexHull(thrown[frame, start:end])
                cv2.fillConvexPoly(cast, hull, 255, 8, _SUBPIXEL_BITS)
                if lowest[frame, part] < _TOUCH_M:
                    hull = cv2.convexHull(dropped[frame, start:end])
                    cv2.fillConvexPoly(touch, hull, 255, 8, _SUBPIXEL_BITS)
        wide = max(3, 2 * round(height / 120) + 1)
        soft = cv2.GaussianBlur(cast, (wide, wide), 0).astype(np.float32) * (self.light.shadow / 255)
        near = cv2.GaussianBlur(touch, (2 * wide + 1, 2 * wide + 1), 0).astype(np.float32) * (0.5 / 255)
        dark: Array = cv2.resize(1 - (1 - soft) * (1 - near), (width, height), interpolation=cv2.INTER_LINEAR)
        return dark


class _Developer:
    """Exposure, colour cast and sensor noise."""

    def __init__(self, effects: CameraEffects, size: tuple[int, int], generator: np.random.Generator) -> None:
        level = np.arange(256) / 255
        curves = [255 * np.clip(level * effects.exposure * tint, 0, 1) for tint in effects.tint]
        self.curve = np.round(np.stack(curves, axis=1)).astype(np.uint8)[None]
        self.size, self.generator = size, generator
        grain = generator.normal(0, effects.noise, (size[0] + 32, size[1] + 32, 1))
        colour = generator.normal(0, effects.noise * 0.4, (size[0] + 32, size[1] + 32, 3))
        self.grain = np.round(grain + colour).astype(np.int16)

    def develop(self, image: Array) -> Array:
        """The frame as the sensor delivers it."""
        y, x = self.generator.integers(0, 32, 2)
        grain = self.grain[y : y + self.size[0], x : x + self.size[1]]
        toned = cv2.LUT(image, self.curve)
        noisy: Array = cv2.add(toned, grain, dtype=cv2.CV_8U)
        return noisy


def _surfaces(
    figures: Sequence[Figure],
    meshes: Sequence[Mesh],
    lying: Sequence[SceneObject],
    colours: Array,
    times_s: Array,
) -> list[Surface]:
    """Figures with what they handle, and things that stay where they are (positions (1, 3))."""
    surfaces = []
    for thing, colour in zip(lying, colours[len(figures) :], strict=True):
        still = replace(thing, positions=np.broadcast_to(thing.positions, (len(times_s), 3)))
        surfaces.append(object_surface(still, colour))
    for i, (figure, mesh) in enumerate(zip(figures, meshes, strict=True)):
        placement, things = figure.placed(times_s)
        body = figure.performer.body
        surfaces.append(Surface(mesh.skinned(body, placement), mesh.faces, mesh.colours, i, mesh.parts))
        surfaces += [object_surface(thing, colours[i]) for thing in things]
    return surfaces


def _shaded(surface: Surface, light: Light) -> Array:
    """RGB of each face at each exposure, (S, F, 3), Lambert with sky and bounce light."""
    corners = surface.vertices[:, surface.faces]
    a = np.moveaxis(corners[:, :, 2] - corners[:, :, 0], -1, 0)
    b = np.moveaxis(corners[:, :, 3] - corners[:, :, 1], -1, 0)
    x, y, z = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    scale = 1 / np.maximum(np.sqrt(x * x + y * y + z * z), 1e-9)
    sun = light.direction
    direct = np.maximum((x * sun[0] + y * sun[1] + z * sun[2]) * scale, 0) * (1.25 * light.strength)
    ambient = (1 - light.strength) * (0.80 + 0.20 * z * scale)
    tint = np.array(light.colour, dtype=np.float32)
    shade = surface.colours * (ambient[..., None] + direct[..., None] * tint)
    clipped: Array = np.clip(shade, 0, 255, out=shade)
    return clipped


def _exposures(seen: Sequence[Array], shutter: float) -> Array:
    """How many exposures each frame needs, (T,), from the fastest joint's way across the image."""
    frames = len(seen[0])
    if shutter <= 0 or frames < 2:
        return np.ones(frames, int)
    speed = np.zeros(frames)
    for joints in seen:
        step = np.linalg.norm(np.diff(joints[..., :2], axis=0), axis=2)
        fastest = np.percentile(step, 90, axis=1)
        speed[:-1] = np.maximum(speed[:-1], fastest)
        speed[1:] = np.maximum(speed[1:], fastest)
    return np.clip(np.ceil(speed * shutter / _PX_PER_EXPOSURE), 1, _MAX_EXPOSURES).astype(int)


def _shift(shaken: Array, margin_px: int) -> Array:
    """The map of a plate with a margin onto the shaken image."""
    back: Array = shaken.copy()
    back[:, 2] -= shaken[:, :2] @ np.array([margin_px, margin_px])
    return back


def _turned(light: Light, yaw_rad: float) -> Light:
    """The scene's light in the performer's world."""
    x, y, z = rotation("z", np.array(yaw_rad)) @ np.array(light.direction)
    return Light((float(x), float(y), float(z)), light.strength, light.colour, light.shadow)


def _fixed(points: Array) -> Array:
    """Pixel coordinates in OpenCV's fixed point."""
    fixed: Array = np.round(np.clip(points, -4000, 4000) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    return fixed


def mask_boxes(mask: Array) -> Array:
    """Smallest boxes (T, M, 4) around masks (T, M, H, W); borders of pixels, so x1 - x0 is the width."""
    boxes = np.zeros((*mask.shape[:2], 4), np.float32)
    rows: Array = np.any(mask, axis=3)
    columns: Array = np.any(mask, axis=2)
    seen = np.any(rows, axis=2)
    height, width = mask.shape[2:]
    boxes[..., 0] = columns.argmax(axis=2) - 0.5
    boxes[..., 1] = rows.argmax(axis=2) - 0.5
    boxes[..., 2] = width - columns[..., ::-1].argmax(axis=2) - 0.5
    boxes[..., 3] = height - rows[..., ::-1].argmax(axis=2) - 0.5
    boxes[~seen] = 0
    return boxes
