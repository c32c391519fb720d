"""True optical flow: where the surfaces that pixels show are one frame later."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from kinesphere.clips.pinhole import PinholeCamera, shaken
from kinesphere.synthetic.body.body import Array
from kinesphere.synthetic.scene.objects import Surface

_SUBPIXEL_BITS = 4


def true_flow(surfaces: Sequence[Surface], camera: PinholeCamera, maps: Array) -> Array:
    """The motion of every pixel from each frame to the next.

    Each quad moves as its corners do on average; the scene behind moves as the camera shakes. Shadows do not
    count as motion.

    Args:
        surfaces: Quads at the T instants of the frames.
        camera: At rest.
        maps: What its shake does to the image, (T, 2, 3).

    Returns:
        (T, 2, H, W) float32, x and y in pixels; the last frame has the field before it.
    """
    height, width = camera.size
    fields = np.zeros((len(maps), height, width, 2), np.float32)
    moves, positions, depths, fronts = [], [], [], []
    for surface in surfaces:
        flat = shaken(camera.project(surface.vertices), maps[:, None].astype(np.float32))
        corners = flat[:, surface.faces]
        moves.append(np.diff(corners[..., :2].mean(2), axis=0))
        positions.append(corners[:-1, ..., :2])
        depths.append(corners[:-1, ..., 2].mean(2) + surface.depth_bias_m)
        across, along = corners[:-1, :, 2] - corners[:-1, :, 0], corners[:-1, :, 3] - corners[:-1, :, 1]
        fronts.append(across[..., 0] * along[..., 1] - across[..., 1] * along[..., 0] < 0)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    points = np.stack([columns, rows, np.ones_like(rows)], -1)
    for frame in range(len(maps) - 1):
        still = cv2.invertAffineTransform(maps[frame])
        onward = maps[frame + 1] @ np.vstack([still, [0, 0, 1]])
        fields[frame] = points @ onward.T - points[..., :2]
        for part, face in _far_to_near(surfaces, depths, fronts, frame):
            corners = np.round(positions[part][frame, face].clip(-4000, 4000) * (1 << _SUBPIXEL_BITS))
            move = moves[part][frame, face].tolist()
            cv2.fillConvexPoly(fields[frame], corners.astype(np.int32), move, 8, _SUBPIXEL_BITS)
    if len(maps) > 1:
        fields[-1] = fields[-2]
    return fields.transpose(0, 3, 1, 2)


def _far_to_near(
    surfaces: Sequence[Surface], depths: Sequence[Array], fronts: Sequence[Array], frame: int
) -> list[tuple[int, int]]:
    """(surface, face) of the quads that face the camera, in the order of painting."""
    if not surfaces:
        return []
    owner = np.concatenate([np.full(depth.shape[1], i) for i, depth in enumerate(depths)])
    face = np.concatenate([np.arange(depth.shape[1]) for depth in depths])
    depth = np.concatenate([each[frame] for each in depths])
    visible = np.flatnonzero(np.concatenate([each[frame] for each in fronts]))
    order = visible[np.argsort(-depth[visible], kind="stable")]
    return list(zip(owner[order].tolist(), face[order].tolist(), strict=True))
