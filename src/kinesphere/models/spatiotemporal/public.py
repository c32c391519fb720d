"""Public checkpoints of spatio-temporal detectors: MMAction2's AVA heads, of version 1."""

from __future__ import annotations

from torch import Tensor

from kinesphere.models.weights.keymap import KeyMap, Rename, Transform


def _flat(x: Tensor) -> Tensor:
    return x.squeeze(2)


def _deep(x: Tensor) -> Tensor:
    return x.unsqueeze(2)


_OVER_ONE_FRAME = Transform(_flat, _deep)
"""Kernels of one frame, since maps are pooled over time before."""

HEAD = KeyMap(
    "mmaction2",
    (
        Rename("roi_head.bbox_head.fc_cls.*", "fc.*"),
        Rename("roi_head.shared_head.conv{i}.conv.weight", "relation.conv{i}.weight", _OVER_ONE_FRAME),
        Rename("roi_head.shared_head.conv{i}.bn.*", "relation.bn{i}.*"),
    ),
)
"""Of the head alone; class 0 of these files is the background, which no sigmoid needs."""
