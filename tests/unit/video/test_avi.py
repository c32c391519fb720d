"""The packets that an AVI index names are those that reading finds; a false index is not believed."""

from __future__ import annotations

import numpy as np
import pytest
from makers import make, packed_avi
from test_start import with_sound

from kinesphere.video import Video
from kinesphere.video.avi import indexed_packets
from kinesphere.video.container import Source
from kinesphere.video.damage import Damage, Patience
from kinesphere.video.frame_index import Packets, demux, scan

SOUND = {"codec": "mpeg4", "sound": "pcm_s16le"}
SPARSE = {"g": "12"}


def both(data: bytes) -> tuple[Packets | None, Packets]:
    """The packets by the index and those by reading."""
    source, damage, patience = Source.of(data), Damage("x"), Patience("x", 5)
    with source.open(5) as container:
        stream = container.streams.video[0]
        indexed = indexed_packets(source, stream)
        return indexed, scan(demux(container, stream, damage, patience), len(data), damage, patience)


@pytest.mark.parametrize("options", [SPARSE, SPARSE | {"bf": "2"}])
@pytest.mark.parametrize("sound", [False, True])
def test_the_index_of_a_sound_file_says_what_reading_finds(options, sound):
    indexed, read = both(
        with_sound("avi", **SOUND, options=options) if sound else make("mpeg4", "avi", options=options)
    )
    assert indexed is not None
    for name in ("dts", "size", "key", "hidden"):
        np.testing.assert_array_equal(getattr(indexed, name), getattr(read, name))
    assert indexed.end == read.end


def test_the_packets_of_a_sound_file_are_not_read_to_index_it(monkeypatch, tmp_path):
    path = tmp_path / "a.avi"
    path.write_bytes(make("mpeg4", "avi", options=SPARSE))
    monkeypatch.setattr("kinesphere.video.decode.scan", lambda *_: pytest.fail("the packets were read"))
    with Video.open(path) as video:
        assert video.frame_count == 40


def swapped(data: bytes, old: bytes, new: bytes) -> bytes:
    """The file with the last `old` in place of which `new` stands."""
    at = data.rindex(old)
    return data[:at] + new + data[at + len(old) :]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-3000],
        lambda data: swapped(data, b"00dc\0\0\0\0", b"00dc\x10\0\0\0"),
        lambda data: swapped(data[: data.rindex(b"idx1")], b"00dc", b"JUNK") + data[data.rindex(b"idx1") :],
        lambda data: (
            swapped(data[: data.rindex(b"idx1")], b"\0\0\1\xb6", b"\0\0\1\xb5") + data[data.rindex(b"idx1") :]
        ),
        lambda _: packed_avi(),
        lambda _: make("libx264", "avi"),
    ],
    ids=["cut", "a key that is none", "a chunk that is none", "no frame", "two frames a packet", "H.264"],
)
def test_an_index_that_the_data_do_not_bear_out_is_not_believed(change):
    indexed, _ = both(change(make("mpeg4", "avi", options=SPARSE)))
    assert indexed is None
