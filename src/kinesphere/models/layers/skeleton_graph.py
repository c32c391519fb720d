"""Graphs over the joints of a skeleton, as partitioned adjacency matrices.

A matrix entry [k, v, w] is the weight with which joint v contributes to joint w in partition k.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kinesphere.clips.skeleton import SKELETONS, Skeleton
from kinesphere.core.errors import InvalidSetting

# Joints that public checkpoints with so many joints mean.
SKELETON_OF = {15: "jhmdb15", 17: "coco17", 18: "openpose18", 20: "kinect20", 25: "ntu25", 33: "blazepose33"}

# Where the bones that published bone streams take (PySKL, MMAction2) are not those of the graph: the hips
# hang on the nose, and the tips of the hands on the thumbs.
_STREAM_PARENTS = {"coco17": {11: 0, 12: 0}, "ntu25": {21: 22, 23: 24}}


def skeleton_of(joints: int) -> str:
    """Name of the skeleton that a checkpoint with so many joints was made for.

    Raises:
        InvalidSetting: If none is known.
    """
    if joints not in SKELETON_OF:
        raise InvalidSetting(
            f"No skeleton of {joints} joints is known; name it with the argument skeleton=, "
            f"one of {', '.join(SKELETONS)}."
        )
    return SKELETON_OF[joints]


def stream_parents(skeleton: Skeleton) -> tuple[int, ...]:
    """For each joint the one at the other end of its bone; the root is its own."""
    changed = _STREAM_PARENTS.get(skeleton.name, {})
    return tuple(changed.get(j, j if p < 0 else p) for j, p in enumerate(skeleton.parents))


def spatial_partition(skeleton: Skeleton) -> Tensor:
    """Spatial configuration partitioning `(3, J, J)`: itself, from farther out, from farther in.

    Yan, Xiong, Lin: "Spatial Temporal Graph Convolutional Networks", AAAI 2018, section 3.3. Neighbours are
    weighted by one over their number; how far out a joint lies counts in bones to the root. (The authors'
    code looks one bone far only: joints farther out than that all lie equally far for it. Its sum over
    the parts is the same, and checkpoints bring their own matrices.)
    """
    J = len(skeleton)
    near = np.eye(J)
    for joint, parent in skeleton.bones:
        near[joint, parent] = near[parent, joint] = 1
    weight = near / near.sum(0)
    depth = np.array([_depth(skeleton, joint) for joint in range(J)])
    source, target = depth[:, None], depth[None, :]
    itself = np.eye(J, dtype=bool)
    parts = [itself * weight, (source > target) * weight, (source < target) * weight]
    return torch.tensor(np.stack(parts), dtype=torch.float32)


def directed_partition(skeleton: Skeleton) -> Tensor:
    """Joints themselves, bones inwards and bones outwards `(3, J, J)`; columns of bones add up to one.

    Shi, Zhang, Cheng, Lu: "Two-Stream Adaptive Graph Convolutional Networks", CVPR 2019, section 4.1.
    """
    J = len(skeleton)
    inward = np.zeros((J, J))
    for joint, parent in skeleton.bones:
        inward[parent, joint] = 1
    parts = [np.eye(J), _normalised(inward), _normalised(inward.T)]
    return torch.tensor(np.stack(parts), dtype=torch.float32)


def _normalised(links: np.ndarray) -> np.ndarray:
    """Columns divided by their sums; empty ones stay."""
    total = links.sum(0)
    divided: np.ndarray = links / np.where(total > 0, total, 1)
    return divided


def _depth(skeleton: Skeleton, joint: int) -> int:
    steps = 0
    while (joint := skeleton.parents[joint]) >= 0:
        steps += 1
    return steps
