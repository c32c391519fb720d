"""Joints in space as if everybody had stood at one place and faced one way."""

from __future__ import annotations

import torch
from torch import Tensor

from kinesphere.clips.skeleton import Skeleton, joint_map

_FRAME = ("spine", "pelvis", "right_shoulder", "left_shoulder")


def align_bodies(points: Tensor, scores: Tensor, skeleton: Skeleton, *, turn: bool) -> Tensor:
    """Bring the first person's spine to the origin, and its trunk upright and to the front.

    The first person of every clip is looked at when it is first seen: the spine joint becomes the origin;
    with `turn` space is then turned by the shortest way so that the spine rises from the pelvis along z,
    and again so that the shoulders point along x, the right one ahead (Shi et al. 2019, 2s-AGCN, whose
    published code does so for NTU RGB+D). A clip without that person stays.

    Args:
        points: `(..., T, M, J, 3)` metres.
        scores: `(..., T, M, J)`; 0 where a joint was not seen.
        skeleton: Skeleton of the J joints.
        turn: Whether to turn as well as to move.

    Returns:
        Points of the same shape; those of unseen joints mean nothing.
    """
    flat, seen = (
        points.flatten(0, -5) if points.dim() > 4 else points[None],
        scores.reshape(-1, *scores.shape[-3:]),
    )
    joints = joint_map(skeleton.joints, _FRAME)
    matrix = points.new_zeros(len(_FRAME), len(skeleton))
    for row, part in enumerate(joints.parts):
        matrix[row, list(part)] = 1 / max(len(part), 1)
    # When the joints that the frame rests on are all seen for the first time; one sample after another.
    needed = matrix.sum(0) > 0
    whole = (seen[:, :, 0] > 0)[..., needed].all(-1)
    first = whole.to(torch.uint8).argmax(1)
    body = flat[torch.arange(len(flat), device=flat.device), first, 0]
    spine, pelvis, right, left = (matrix @ body).unbind(1)
    moved = flat - spine[:, None, None, None]
    if turn:
        upright = _shortest_turn(spine - pelvis, points.new_tensor([0.0, 0.0, 1.0]))
        across = (upright @ (right - left)[..., None])[..., 0]
        rotation = _shortest_turn(across, points.new_tensor([1.0, 0.0, 0.0])) @ upright
        moved = torch.einsum("nab,ntmjb->ntmja", rotation, moved)
    aligned = moved.where(whole.any(1)[:, None, None, None, None], flat)
    return aligned.reshape(points.shape)


def _shortest_turn(vectors: Tensor, axis: Tensor) -> Tensor:
    """Rotations `(N, 3, 3)` that take vectors `(N, 3)` to the direction of a unit axis; none for zeros."""
    given = vectors.dtype
    # Almost opposite vectors need the digits; Apple's GPUs have none to spare.
    exact = torch.float32 if vectors.device.type == "mps" else torch.float64
    vectors, axis = vectors.to(exact), axis.to(exact)
    length = vectors.norm(dim=-1, keepdim=True)
    unit = torch.where(length > 1e-6, vectors / length.clamp_min(1e-6), axis)
    cosine = (unit * axis).sum(-1)
    x, y, z = torch.linalg.cross(unit, axis.expand_as(unit)).unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    turn = identity + skew + skew @ skew / (1 + cosine).clamp_min(1e-6)[..., None, None]
    # Opposite vectors have no shortest way; half a turn about a perpendicular axis is one of them.
    other = identity.flip(0) @ axis
    half = 2 * torch.outer(other, other) - identity
    return torch.where((cosine > 1e-6 - 1)[..., None, None], turn, half).to(given)
