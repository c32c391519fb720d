"""How fast a model is on this machine: a clip, a window of a video, and the rate that it keeps up with."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from kinesphere.clips.source import duration_of
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.errors import InvalidSetting
from kinesphere.data.sources import Source, shown
from kinesphere.predict.predictor import Predictor
from kinesphere.predict.scorers import Mode
from kinesphere.predict.stream import Stream
from kinesphere.predict.together import Read, read_together
from kinesphere.predict.video_predictor import VideoPredictor
from kinesphere.video import Video

SPREAD_S = 2.0
"""Length of the windows of a model whose clips are spread over a window, however long."""
_REPEAT_S, _MOST, _LEAST = 1.0, 50, 3


@dataclass(frozen=True)
class Speed:
    """What was measured of a model on one video.

    Attributes:
        model: Its name.
        device: Where it ran.
        precision: In which arithmetic.
        threads: With how many threads of the CPU; None on another device.
        clip_ms: One clip through the network by itself, the median, in milliseconds.
        batch_clip_ms: A clip of a full batch, in milliseconds.
        batch: Clips of such a batch.
        mode: How windows were computed.
        window_s: Length of the windows, which follow each other without overlap, in seconds.
        windows: How many there were.
        window_ms: A window from the file to its answer, in milliseconds.
        video: The video.
        size: Its `(H, W)` in pixels.
        keeps_up_fps: Frames of the video a second that went through decoding, preparation (flow and poses
            that are made on the way included) and network.
        memory_mb: Most memory that the process held, in megabytes.
        device_memory_mb: Most memory that tensors took on a GPU, in megabytes; None on a CPU.
    """

    model: str
    device: str
    precision: str
    threads: int | None
    clip_ms: float
    batch_clip_ms: float
    batch: int
    mode: Mode
    window_s: float
    windows: int
    window_ms: float
    video: str
    size: tuple[int, int]
    keeps_up_fps: float
    memory_mb: float
    device_memory_mb: float | None

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


def measure_speed(
    predictor: VideoPredictor,
    source: Source,
    *,
    window_s: float | None = None,
    stride_s: float | None = None,
    mode: Mode | None = None,
) -> Speed:
    """Measure a model on a video, with one clip and crop of each window.

    Args:
        predictor: The model.
        source: A path, or the file's bytes.
        window_s: Length of the windows; None for that of the model's clips, or 2 s where these are spread
            over a window.
        stride_s: Seconds between their starts; None for their length, so that each moment is seen once.
        mode: How windows are computed; None for streaming where the network streams.

    Raises:
        VideoError: If the video cannot be decoded.
        InvalidSetting: If the network cannot stream, or window and stride make no sense.
    """
    _forget_peak(predictor.compute.device)
    with Video.open(source) as video:
        fps, size, duration_s = float(video.fps), video.size, duration_of(video)
    predictor = predictor.for_source(source)
    mode = mode or ("streaming" if streams(predictor) else "windows")
    window_s = window_s or min(clip_length_s(predictor.specs, fps), duration_s)
    (read,) = read_together(source, [predictor], [Views()], span=(0.0, min(window_s, duration_s)))
    if not isinstance(read, Read):
        raise read
    batch = predictor.windows_at_once(Views())
    alone_ms, batch_ms = (_clip_ms(predictor, read, clips) for clips in (1, batch))
    begun = time.perf_counter()
    found = predictor.timeline(
        source, window_s=window_s, stride_s=stride_s or window_s, views=Views(), mode=mode
    )
    took_s = time.perf_counter() - begun
    covered_s = float(found.spans[-1, 1] - found.spans[0, 0])
    on_gpu = predictor.compute.device.startswith("cuda")
    return Speed(
        predictor.name,
        predictor.compute.device,
        predictor.compute.precision,
        predictor.threads(batch),
        alone_ms,
        batch_ms,
        batch,
        mode,
        window_s,
        len(found),
        took_s / len(found) * 1e3,
        shown(source),
        size,
        covered_s * fps / took_s,
        _peak_mb(),
        torch.cuda.max_memory_allocated(predictor.compute.device) / 1e6 if on_gpu else None,
    )


def clip_length_s(specs: tuple[ClipSpec, ...], fps: float) -> float:
    """How much of a video the longest clip of a model spans, in seconds; `SPREAD_S` where it spans any.

    Args:
        specs: The model's contracts.
        fps: Frame rate of the video.
    """
    lengths = [
        SPREAD_S
        if spec.sampling.kind == "uniform"
        else spec.sampling.length * spec.sampling.interval / (spec.fps or fps)
        for spec in specs
    ]
    return max(lengths)


def streams(predictor: VideoPredictor) -> bool:
    """Whether a model's network takes a video frame by frame."""
    if not isinstance(predictor, Predictor):
        return False
    try:
        Stream(predictor)
    except InvalidSetting:
        return False
    return True


def _clip_ms(predictor: VideoPredictor, read: Read, clips: int) -> float:
    """Milliseconds of a clip in a batch of so many, the median over some batches."""
    inputs = [x[None].expand(clips, *x.shape).contiguous() for x in read.inputs]
    predictor.probabilities(inputs)  # the first call prepares
    took: list[float] = []
    while len(took) < _LEAST or (sum(took) < _REPEAT_S and len(took) < _MOST):
        begun = time.perf_counter()
        predictor.probabilities(inputs).cpu()
        took.append(time.perf_counter() - begun)
    return sorted(took)[len(took) // 2] / clips * 1e3


def _forget_peak(device: str) -> None:
    """Begin anew to note how much memory is taken at most, where the system can do that."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)


def _peak_mb() -> float:
    """Most memory that this process held: since `_forget_peak` on Linux, elsewhere since it began."""
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
