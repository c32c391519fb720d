"""Graphs over the joints of a skeleton, as partitioned adjacency matrices.

A matrix entry [k, v, w] is the weight with which joint v contributes to joint w in partition k.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kinesphere.clips.skeleton import Skeleton

# Where the bones that published bone streams take (PySKL, MMAction2) are not those of the graph: the hips
# hang on the nose, and the tips of the hands on the thumbs.
_STREAM_PARENTS = {"coco17": {11: 0, 12: 0}, "ntu25": {21: 22, 23: 24}}


def stream_parents(skeleton: Skeleton) -> tuple[int, ...]:
    """For each joint the one at the other end of its bone; the root is its own."""
    changed = _STREAM_PARENTS.get(skeleton.name, {})
    return tuple(changed.get(j, j if p < 0 else p) for j, p in enumerate(skeleton.parents))


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
