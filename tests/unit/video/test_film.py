"""Which stream of a file is the film."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from av.stream import Disposition

from kinesphere.core.errors import NoVideoStream
from kinesphere.video import Video

FILM, STILL = (48, 64), (24, 32)


def several(
    container: str,
    *streams: tuple[str, tuple[int, int], int],
    disposition: dict[int, Disposition] | None = None,
) -> bytes:
    """A file with a stream for each `(codec, (H, W), frames)`, in this order; grey goes up frame by frame."""
    target = io.BytesIO()
    with av.open(target, "w", format=container) as out:
        added = []
        for i, (codec, size, _) in enumerate(streams):
            stream = out.add_stream(codec, rate=25)
            stream.height, stream.width = size
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.disposition = (disposition or {}).get(i, Disposition(0))
            added.append(stream)
        for n in range(max(count for *_, count in streams)):
            for stream, (_, size, count) in zip(added, streams, strict=True):
                if n < count:
                    grey = np.full((*size, 3), 30 + 4 * n, np.uint8)
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        for stream in added:
            out.mux(stream.encode(None))
    return target.getvalue()


MOVING = ("libx264", FILM, 20)
THUMBNAIL = ("mjpeg", STILL, 1)


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "avi"])
@pytest.mark.parametrize(
    "streams", [(THUMBNAIL, MOVING), (MOVING, THUMBNAIL), (THUMBNAIL, THUMBNAIL, MOVING)]
)
def test_a_stream_of_one_frame_is_not_the_film(container, streams):
    with Video.open(several(container, *streams), threads=3) as video:
        assert (video.size, video.frame_count) == (FILM, 20)
        assert video.frames_at(video.frame_times()[[19, 3]]).data[0].mean() > 100
        assert len(list(video.stream())) == 20


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_thumbnail_that_is_the_default_is_not_the_film(container):
    source = several(container, THUMBNAIL, MOVING, disposition={0: Disposition.default})
    with Video.open(source) as video:
        assert (video.size, video.frame_count) == (FILM, 20)


def test_of_two_films_it_is_the_default_one_then_the_larger_one():
    proxy = ("libx264", STILL, 20)
    with Video.open(several("matroska", proxy, MOVING)) as video:
        assert video.size == FILM
    with Video.open(several("matroska", MOVING, proxy, disposition={1: Disposition.default})) as video:
        assert video.size == STILL


def test_a_picture_alone_is_a_film_of_one_frame():
    with Video.open(several("mp4", THUMBNAIL)) as video:
        assert (video.size, video.frame_count) == (STILL, 1)


def test_a_cover_is_none():
    source = several("mp4", THUMBNAIL, disposition={0: Disposition.attached_pic})
    with av.open(io.BytesIO(source)) as container:
        is_cover = bool(container.streams.video[0].disposition & Disposition.attached_pic)
    if not is_cover:
        pytest.skip("this muxer does not mark covers")
    with pytest.raises(NoVideoStream, match="holds no video"):
        Video.open(source)
