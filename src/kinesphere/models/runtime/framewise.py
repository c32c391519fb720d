"""`FrameWise`: networks that look at each frame by itself, and put what they saw together afterwards.

Overlapping windows of a long video then share what is computed of the frames that they have in common.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting


@runtime_checkable
class FrameWise(Protocol):
    """A network of one input whose answer to a clip follows from features of its snippets, each by itself.

    For every clip in evaluation mode, `from_features` of the features of its snippets, in their order, is
    what `forward` answers.

    Attributes:
        snippet: Successive frames that make one feature, which do not overlap; 1 in most networks.
    """

    snippet: int

    def frame_features(self, x_NCHW: Tensor) -> Tensor:
        """What is seen in snippets, each by itself.

        Args:
            x_NCHW: Normalised; the channels of a snippet's frames follow each other.

        Returns:
            Features `(N, D)`.
        """
        ...

    def from_features(self, f_BSD: Tensor) -> Tensor:
        """Logits `(B, K)` of clips of S snippets whose features these are."""
        ...


def snippets(x_BTCHW: Tensor, snippet: int) -> Tensor:
    """The snippets `(B, S, C, H, W)` of clips, the channels of their frames behind each other.

    Raises:
        InvalidSetting: If the clips are no whole number of snippets.
    """
    T = x_BTCHW.shape[1]
    if snippet > 1 and T % snippet:  # of one frame there is nothing to ask, so that tracing may go through
        raise InvalidSetting(f"A snippet is {snippet} frames; got a clip of {T}, not a multiple.")
    stacked_BSCHW: Tensor = x_BTCHW.unflatten(1, (T // snippet, snippet)).flatten(2, 3)
    return stacked_BSCHW


def through_features(net: FrameWise, x_BTCHW: Tensor) -> Tensor:
    """Logits `(B, K)` of normalised clips, by the features of their snippets: what `forward` answers."""
    x_BSCHW = snippets(x_BTCHW, net.snippet)
    features_ND = net.frame_features(x_BSCHW.flatten(0, 1))
    return net.from_features(features_ND.unflatten(0, x_BSCHW.shape[:2]))


class FrameFeatures(nn.Module):
    """The part of a frame-wise network that looks at snippets, as a module of its own."""

    def __init__(self, net: FrameWise) -> None:
        super().__init__()
        self.net = net

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.net.frame_features(x_NCHW)


class FromFeatures(nn.Module):
    """The part of a frame-wise network that answers from features, as a module of its own."""

    def __init__(self, net: FrameWise) -> None:
        super().__init__()
        self.net = net

    def forward(self, f_BSD: Tensor) -> Tensor:
        return self.net.from_features(f_BSD)
