"""Image weights in video networks: 2D → 3D inflation and another number of input channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.models.weights.keymap import StateDict

Inflation = Literal["mean", "centre"]


def inflate(weight: Tensor, length: int, how: Inflation = "mean") -> Tensor:
    """A 3D kernel that answers a boring video (one frame repeated) as the 2D kernel answers the frame.

    Carreira and Zisserman: "Quo Vadis, Action Recognition?", CVPR 2017, section 2.4 (`mean`). With
    `centre` only the middle time step holds the kernel (Feichtenhofer et al. 2016), which is the same
    function of the middle frame alone.

    Args:
        weight: `(O, I, H, W)`.
        length: Temporal size T of the new kernel.
        how: `"mean"` spreads the kernel over time divided by T, `"centre"` leaves zeros around it.

    Returns:
        `(O, I, T, H, W)`.
    """
    if weight.dim() != 4 or length < 1:
        raise InvalidSetting(
            f"Inflation takes a 2D kernel (O, I, H, W) and a length of at least 1; "
            f"got shape {tuple(weight.shape)} and {length}."
        )
    if how == "mean":
        return weight.unsqueeze(2).repeat(1, 1, length, 1, 1) / length
    inflated = weight.new_zeros(*weight.shape[:2], length, *weight.shape[2:])
    inflated[:, :, length // 2] = weight
    return inflated


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """First-layer weights for another number of input channels: their mean, repeated.

    Wang et al.: "Temporal Segment Networks", ECCV 2016, section 3.2 (cross-modality pre-training); for
    flow `channels` is 2, for n stacked flow fields 2n.

    Args:
        weight: `(O, I, ...)`.
        channels: New number of input channels.

    Returns:
        `(O, channels, ...)`; unchanged if `I` is `channels` already.
    """
    if channels < 1:
        raise InvalidSetting(f"A layer needs at least one input channel; got {channels}.")
    if weight.shape[1] == channels:
        return weight
    return weight.mean(1, keepdim=True).repeat(1, channels, *([1] * (weight.dim() - 2)))


def fit_image_state(
    image: Mapping[str, Tensor], own: Mapping[str, Tensor], how: Inflation = "mean"
) -> StateDict:
    """Image weights in the shapes of a video network with the same names.

    Every 4D kernel that meets a 5D one is inflated, every kernel with another number of input channels is
    adapted; all else must agree.

    Raises:
        InvalidCheckpoint: If a tensor fits neither way; all such are named.
    """
    fitted: StateDict = {}
    wrong = []
    for key, tensor in image.items():
        if key not in own:
            wrong.append(key)
            continue
        target = own[key]
        if tensor.dim() == 4 and target.dim() == 5:
            tensor = inflate(tensor, target.shape[2], how)
        if tensor.dim() >= 4 and tensor.dim() == target.dim():
            tensor = adapt_channels(tensor, target.shape[1])
        if tensor.shape != target.shape:
            wrong.append(key)
        fitted[key] = tensor
    if wrong:
        raise InvalidCheckpoint(f"{len(wrong)} image tensors fit nowhere: {', '.join(wrong[:8])}.")
    return fitted
