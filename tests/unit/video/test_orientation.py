"""Display matrices are applied whole: rotations, mirrors, and both."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from makers import make

from kinesphere.video import Video, probe

SIZE = (32, 64)
# a, b, c, d: a pixel (x, y) is shown at (a x + c y, b x + d y).
MATRICES = [
    (1, 0, 0, 1),
    (0, 1, -1, 0),
    (-1, 0, 0, -1),
    (0, -1, 1, 0),
    (-1, 0, 0, 1),
    (1, 0, 0, -1),
    (0, 1, 1, 0),
    (0, -1, -1, 0),
]


def quadrants() -> np.ndarray:
    """Red and green above blue and white."""
    picture = np.zeros((*SIZE, 3), np.uint8)
    height, width = SIZE[0] // 2, SIZE[1] // 2
    picture[:height, :width], picture[:height, width:] = (220, 30, 30), (30, 200, 30)
    picture[height:, :width], picture[height:, width:] = (30, 30, 220), (235, 235, 235)
    return picture


def with_matrix(a: float, b: float, c: float, d: float) -> bytes:
    """A video whose header says how to show it."""
    encoded = bytearray(make(count=4, size=SIZE, drawn=[quadrants()] * 4))
    at = encoded.index(b"tkhd") + 44
    for place, value in ((0, a), (4, b), (12, c), (16, d)):
        encoded[at + place : at + place + 4] = struct.pack(">i", round(value * 65536))
    return bytes(encoded)


def shown(picture: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """Every pixel put where the matrix says."""
    y, x = np.indices(picture.shape[:2])
    column, row = a * x + c * y, b * x + d * y
    column, row = column - column.min(), row - row.min()
    result = np.empty((row.max() + 1, column.max() + 1, 3), np.uint8)
    result[row, column] = picture
    return result


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("matrix", MATRICES)
def test_pictures_are_shown_as_the_matrix_says(matrix, threads):
    expected = shown(quadrants(), *matrix)
    with Video.open(with_matrix(*matrix), threads=threads) as video:
        assert video.size == video.info.size == expected.shape[:2]
        assert video.info.coded_size == SIZE
        ways = [video.frames_at([0.0, 0.08]).data[1], next(video.stream()).data]
        small = video.frames_at([0.0], (expected.shape[0] // 2, expected.shape[1] // 2)).data[0]
    for found in ways:
        assert np.abs(found.transpose(1, 2, 0).astype(int) - expected).mean() < 8
    assert np.abs(small.transpose(1, 2, 0).astype(int) - expected[::2, ::2]).mean() < 8


def test_what_is_known_of_the_orientation():
    facts = [(info.rotation_deg, info.mirrored) for info in (probe(with_matrix(*m)) for m in MATRICES)]
    assert facts[:4] == [(0, False), (270, False), (180, False), (90, False)]
    assert all(mirrored for _, mirrored in facts[4:])
    assert len(set(facts)) == 8


def test_other_angles_are_rounded_and_flat_matrices_ignored():
    cosine, sine = np.cos(np.radians(80)), np.sin(np.radians(80))
    info = probe(with_matrix(cosine, sine, -sine, cosine))
    assert (info.rotation_deg, info.mirrored, info.size) == (270, False, SIZE[::-1])
    flat = probe(with_matrix(0, 0, 0, 1))
    assert (flat.rotation_deg, flat.mirrored, flat.size) == (0, False, SIZE)
