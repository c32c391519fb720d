"""Names of tensors that the public files of one-stage detectors share, in their layout and in ours."""

from __future__ import annotations

from torch import Tensor

from kinesphere.models.weights.keymap import Rename, Transform


def _flat(x: Tensor) -> Tensor:
    return x.flatten()


def _column(x: Tensor) -> Tensor:
    return x.view(1, -1, 1)


COLUMN = Transform(_flat, _column)
"""What is `(1, C, 1)` in public files is `(C,)` here."""


def head_rules(theirs: str, ours: str, last: str) -> tuple[Rename, ...]:
    """Rules for a head that all levels share.

    Args:
        theirs: Its name in public files.
        ours: Its name here.
        last: Name of its last convolution there.
    """
    return (
        Rename(f"{theirs}.head.{{i}}.conv.weight", f"{ours}.convs.{{i}}.weight"),
        Rename(f"{theirs}.norm.{{i}}.*", f"{ours}.norms.{{i}}.*", COLUMN),
        Rename(f"{theirs}.{last}.conv.*", f"{ours}.out.*"),
    )


EMBEDDING_RULES = (
    Rename("backbone.embd.{i}.conv.weight", "embedding.convs.{i}.weight"),
    Rename("backbone.embd_norm.{i}.*", "embedding.norms.{i}.*", COLUMN),
)
HEADS_RULES = (
    *head_rules("cls_head", "class_head", "cls_head"),
    *head_rules("reg_head", "offset_head", "offset_head"),
    Rename("reg_head.scale.{i}.scale", "scales.{i}.scale"),
)
NECK_RULES = (Rename("neck.fpn_norms.{i}.*", "neck.norms.{i}.*", COLUMN),)
