"""Flow files: quantisation, facts, and what is refused."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from kinesphere.clips import plane_file
from kinesphere.clips.modalities.flow.file import FlowFile, write_flow
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.errors import InvalidAnnotation

SIZE = (40, 52)


def smooth(count: int = 30, longest_px: float = 12.0) -> np.ndarray:
    """Fields `(n, H, W, 2)` as bodies move: smooth, and still in a part of the picture."""
    rows, columns, times = np.meshgrid(*(np.linspace(0, 1, n) for n in (*SIZE, count)), indexing="ij")
    across = longest_px * np.sin(3 * columns + 6 * times)
    down = longest_px * np.cos(4 * rows - 5 * times)
    fields = np.stack([across, down], -1).transpose(2, 0, 1, 3)
    fields[:, :, : SIZE[1] // 3] = 0
    return fields.astype(np.float32)


def write(path: Path, fields: np.ndarray, bound_px: float = 20.0) -> float:
    return write_flow(
        path, fields, size=fields.shape[1:3], method="dis", bound_px=bound_px, frames=len(fields) + 1
    )


def test_fields_come_back_within_the_quantisation(tmp_path: Path) -> None:
    fields, path = smooth(), tmp_path / "clip.mp4.flow.npz"
    assert write(path, fields) == 0
    file = FlowFile.open(path)
    assert (file.method, file.bound_px, file.clipped, file.frames, file.size) == ("dis", 20.0, 0.0, 31, SIZE)
    read = file.fields(np.arange(30))
    assert read.dtype == np.float32
    error = np.linalg.norm(read - fields, axis=-1)
    assert error.mean() < 0.2
    assert np.quantile(error, 0.99) < 1.0
    assert (read[:, :, : SIZE[1] // 3 - 4] == 0).all()
    assert path.stat().st_size < 30 * 1000


def test_nothing_is_written_but_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's folder for temporary files may be full, or not be there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    write(tmp_path / "clip.mp4.flow.npz", smooth(4))
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4.flow.npz"]


def test_any_rows_in_any_order_and_the_last_frame(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4.flow.npz"
    write(path, smooth())
    file = FlowFile.open(path)
    whole = file.fields(np.arange(31))
    assert np.array_equal(whole[30], whole[29])
    rows = np.array([28, 3, 3, 30])
    assert np.array_equal(file.fields(rows), whole[rows])


def test_what_is_beyond_the_bound_is_cut_and_counted(tmp_path: Path) -> None:
    fields = np.zeros((4, *SIZE, 2), np.float32)
    fields[:, : SIZE[0] // 4, :, 0] = -30
    path = tmp_path / "clip.mp4.flow.npz"
    assert write(path, fields, bound_px=8) == pytest.approx(0.25)
    file = FlowFile.open(path)
    assert file.clipped == pytest.approx(0.25)
    np.testing.assert_allclose(file.fields(np.arange(1))[0, :6, :, 0], -8, atol=0.2)


@pytest.mark.parametrize("size", [(17, 31), (32, 33)])
def test_odd_sizes_stay_as_they_are(tmp_path: Path, size: tuple[int, int]) -> None:
    fields = np.full((2, *size, 2), 5, np.float32)
    path = tmp_path / "clip.mp4.flow.npz"
    write(path, fields)
    read = FlowFile.open(path).fields(np.arange(2))
    assert read.shape == fields.shape
    np.testing.assert_allclose(read, fields, atol=0.3)


def test_where_files_lie() -> None:
    video = Path("/data/a/clip.mp4")
    assert Extracts().path(video, ".flow.npz") == Path("/data/a/clip.mp4.flow.npz")
    mirrored = Extracts(Path("/flow"), Path("/data")).path(video, ".flow.npz")
    assert mirrored == Path("/flow/a/clip.mp4.flow.npz")


def changed(path: Path, **content: object) -> Path:
    held = dict(np.load(path))
    np.savez(path, **held | {name: np.asarray(value) for name, value in content.items()})
    return path


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4.flow.npz"
    with pytest.raises(
        InvalidAnnotation, match=r"no flow file .*clip.mp4.flow.npz; make it with `kinesphere"
    ):
        FlowFile.open(path)
    write(path, smooth(4))
    facts = json.loads(str(np.load(path)["facts"]))
    for broken, match in (
        ({"format": "kinesphere mask"}, "is not a flow file; it says 'kinesphere mask'"),
        ({"version": 9}, "is a flow file of version 9, but we read up to 2"),
        ({"facts": json.dumps(facts | {"method": "guess"})}, "unknown method 'guess'; extract it again"),
        ({"facts": json.dumps(facts | {"frames": 9})}, "contradicts itself .*4 fields of 9 frames"),
        ({"facts": "[]"}, "is not a readable flow file .its facts are no table"),
        ({"facts": "{}"}, "does not state its method; extract it again"),
        ({"facts": json.dumps(facts | {"bound_px": "far"})}, "states no number as its bound_px; extract"),
        (
            {"facts": json.dumps(facts | {"clipped": [1]})},
            "states no number as its clipped; extract it again",
        ),
        ({"size": (0, 4)}, "is not a readable flow file"),
    ):
        write(path, smooth(4))
        with pytest.raises(InvalidAnnotation, match=match):
            FlowFile.open(changed(path, **broken))


def test_damaged_pictures_are_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4.flow.npz"
    write(path, smooth(4))
    for broken in (
        {"video": np.zeros(100, np.uint8)},
        {"count": 3, "facts": np.load(path)["facts"].item().replace('"frames": 5', '"frames": 4')},
        {"size": (80, 52)},
    ):
        write(path, smooth(4))
        file = FlowFile.open(changed(path, **broken))
        with pytest.raises(InvalidAnnotation, match=r"clip.mp4.flow.npz is not a readable flow file"):
            file.fields(np.arange(2))


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4.flow.npz"
    write(path, smooth(4))
    whole = path.read_bytes()
    for length in range(1, len(whole) - 1, max(1, len(whole) // 12)):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidAnnotation, match="is not a readable flow file"):
            FlowFile.open(path)


def test_short_files_stay_decoded(tmp_path, monkeypatch):
    path = tmp_path / "a.flow.npz"
    fields = np.random.default_rng(0).normal(size=(6, 32, 32, 2)).astype(np.float32)
    write_flow(path, fields, size=(32, 32), method="dis", bound_px=20, frames=7)
    first = FlowFile.open(path).fields(np.array([4, 1]))
    monkeypatch.setattr(plane_file, "Video", None)  # nothing is decoded any more
    again = FlowFile.open(path).fields(np.array([1, 4, 6]))
    assert np.array_equal(again[:2], first[::-1])


def test_long_files_are_read_in_parts(tmp_path, monkeypatch):
    path = tmp_path / "a.flow.npz"
    fields = np.random.default_rng(0).normal(size=(6, 32, 32, 2)).astype(np.float32)
    write_flow(path, fields, size=(32, 32), method="dis", bound_px=20, frames=7)
    whole = FlowFile.open(path).fields(np.arange(6))
    monkeypatch.setattr(plane_file, "_WHOLE_BYTES", 0)
    assert np.array_equal(FlowFile.open(path).fields(np.array([5, 2])), whole[[5, 2]])


def test_a_known_file_is_not_read_through_again(tmp_path, monkeypatch):
    path = tmp_path / "a.flow.npz"
    fields = np.random.default_rng(0).normal(size=(200, 16, 16, 2)).astype(np.float32)
    write_flow(path, fields, size=(16, 16), method="dis", bound_px=20, frames=201)
    whole = FlowFile.open(path).fields(np.arange(200))
    os.utime(path, (1e9, 1e9))
    FlowFile.open(path)
    decoded = []
    encoded = plane_file.PlaneFile._video
    monkeypatch.setattr(plane_file, "read_archive", None)
    monkeypatch.setattr(
        plane_file.PlaneFile, "_video", lambda file, number: decoded.append(number) or encoded(file, number)
    )
    plane_file._decoded.cache.clear()
    known = FlowFile.open(path)
    assert np.array_equal(known.fields(np.array([100, 191])), whole[[100, 191]])
    assert np.array_equal(known.fields(np.array([120])), whole[[120]])
    assert decoded == [1]  # the segment that holds them, once
    monkeypatch.undo()
    write_flow(path, fields[:3], size=(16, 16), method="dis", bound_px=20, frames=4)
    os.utime(path, (1e9, 1.1e9))
    assert FlowFile.open(path).frames == 4
    plane_file._decoded.cache.clear()
    with pytest.raises(InvalidAnnotation, match="is not a readable flow file"):
        known.fields(np.array([0]))
