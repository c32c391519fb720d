"""`Streaming`: networks that take a video as it comes, a frame or a few at a time."""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

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
    including it.
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
