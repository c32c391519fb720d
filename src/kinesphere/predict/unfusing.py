"""Batch norms for a network that was made for inference, from the clips of videos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from kinesphere.clips.modalities import rgb
from kinesphere.models.recogniser import Recogniser
from kinesphere.models.weights.unfuse import restore_norms
from kinesphere.video import Video


def unfuse(fused: Recogniser, sources: Iterable[str]) -> Recogniser:
    """The same function as a network with batch norms, ready to be fine-tuned.

    Args:
        fused: A recogniser of pixels whose convolutions have taken up their batch norms.
        sources: Videos, from the clips of both halves of which the norms take mean and variance.

    Raises:
        InvalidSetting: If the network has its norms, or there is no video.
        VideoError: If a video cannot be decoded.
    """
    spec = fused.specs[0]

    def clips() -> Iterator[Tensor]:
        for source in sources:
            with Video.open(source) as video:
                start_s = video.start_s
                half_s = ((video.duration_s or 0.0) - start_s) / 2
                halves = [(start_s + n * half_s, start_s + (n + 1) * half_s) for n in range(2)]
                for span in halves if half_s > 0 else [None]:
                    (clip,) = rgb.read(video, spec, span)
                    yield rgb.normalise(clip.data[None], spec)

    return restore_norms(fused, clips())
