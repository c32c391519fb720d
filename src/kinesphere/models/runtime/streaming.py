"""`Streaming`: networks that take a video as it comes, a frame or a few at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting

State = TypeVar("State")


@runtime_checkable
class Streaming(Protocol[State]):
    """A network whose answers to a growing clip can be had frame by frame.

    Work and memory per frame are constant. The state is a frozen value: a step returns the next one and
    leaves the old one as it was, so that a stream can be forked, or stepped back. Batch norms must be in
    evaluation mode.

    In all chunkings, `stream_step` answers for each frame what `forward` answers to the clip up to and
    including it, and so does `from_features` of all frames' `stream_features` up to it.
    """

    def stream_init(self, batch: int, size: tuple[int, int]) -> State:
        """State before the first frame.

        Args:
            batch: Number B of streams side by side.
            size: `(H, W)` of their frames in pixels.

        Raises:
            InvalidSetting: If the network looks into the future and cannot stream.
        """
        ...

    def stream_step(self, x_BTCHW: Tensor, state: State) -> tuple[Tensor, State]:
        """The next frames of the streams.

        Args:
            x_BTCHW: Normalised, T at least 1.
            state: What the previous step returned, or `stream_init`.

        Returns:
            Logits `(B, T, K)` of the stream up to each of the frames, and the next state.

        Raises:
            InvalidSetting: If the network is in training mode, or the frames are not `(B, T, 3, H, W)` of
                the batch and size that the state began with.
        """
        ...

    def stream_features(self, x_BTCHW: Tensor, state: State) -> tuple[Tensor, State]:
        """As `stream_step`, with what each frame adds to the answer in place of the logits.

        Returns:
            Features `(B, T, D)` of the next frames, each after all that came before it, and the next state.
        """
        ...

    def from_features(self, f_BTD: Tensor) -> Tensor:
        """Logits `(B, K)` of T frames of a stream, all of them or the latest, by their features."""
        ...


def check_stream(net: nn.Module, x_BTCHW: Tensor, batch: int, size: tuple[int, int]) -> None:
    """Refuse frames that do not continue streams of `batch` and `size`, and a network that is training.

    Raises:
        InvalidSetting: If the network is in training mode, or there is no frame, or they are no pictures of
            three channels, or batch or size are others.
    """
    if net.training:
        raise InvalidSetting(
            "A network in training mode cannot stream: its norms would mix the frames of a step. "
            "Call eval() first."
        )
    if x_BTCHW.dim() != 5 or x_BTCHW.shape[2] != 3:
        raise InvalidSetting(
            f"A step of a stream takes frames (B, T, 3, H, W); got {tuple(x_BTCHW.shape)}. One frame "
            "(3, H, W) is frame[None, None]."
        )
    got, length, _, height, width = x_BTCHW.shape
    if (got, (height, width)) != (batch, size):
        raise InvalidSetting(
            f"The stream began with {batch} x {size} pixels, but {got} x {(height, width)} follow; begin "
            "another with stream_init."
        )
    if length == 0:
        raise InvalidSetting("A step of a stream takes at least one frame; got none.")


def state_arrays(state: Any, name: str = "") -> dict[str, np.ndarray]:
    """The tensors and numbers of a state as plain arrays, by where they are in it."""
    if isinstance(state, Tensor):
        return {name: (state.float() if state.is_floating_point() else state).cpu().numpy()}
    if isinstance(state, int):
        return {name: np.array(state)}
    parts = _parts(state)
    return {key: array for path, part in parts for key, array in state_arrays(part, f"{name}/{path}").items()}


def restored(state: Any, arrays: Mapping[str, np.ndarray], name: str = "") -> Any:
    """A state of the kind of another, with the numbers that `state_arrays` gave.

    Args:
        state: Of a stream's beginning: it tells the structure, devices and precisions.
        arrays: See `state_arrays`.
        name: Where it is in the whole.
    """
    if isinstance(state, Tensor):
        return torch.from_numpy(arrays[name].copy()).to(state.device, state.dtype)
    if isinstance(state, int):
        return int(arrays[name])
    if is_dataclass(state) and not isinstance(state, type):
        device = next((v.device for v in vars(state).values() if isinstance(v, Tensor)), None)
        parts = {
            path: _begun(arrays, f"{name}/{path}", device)
            if part is None
            else restored(part, arrays, f"{name}/{path}")
            for path, part in _parts(state)
        }
        return replace(state, **parts)
    if isinstance(state, tuple):
        return tuple(restored(part, arrays, f"{name}/{path}") for path, part in _parts(state))
    return state


def _begun(arrays: Mapping[str, np.ndarray], name: str, device: torch.device | None) -> Any:
    """What a stream remembers that it did not at its beginning: tensors in a row, or nothing."""
    inside = [key for key in arrays if key.startswith(f"{name}/")]
    keys = sorted(inside, key=lambda key: int(key[len(name) + 1 :]))
    return tuple(torch.from_numpy(arrays[key].copy()).to(device) for key in keys) or None


def _parts(state: Any) -> list[tuple[str, Any]]:
    """The parts of a state that has some, with their names."""
    if is_dataclass(state) and not isinstance(state, type):
        return [(field.name, getattr(state, field.name)) for field in fields(state)]
    return [(str(i), part) for i, part in enumerate(state)] if isinstance(state, tuple) else []
