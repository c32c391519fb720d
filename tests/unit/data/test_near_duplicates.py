"""Copies that other bytes hide are found; other videos of one camera are not taken for copies."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from kinesphere.core.labels import LabelSet
from kinesphere.data import Manifest, Sample
from kinesphere.data.near_duplicates import (
    find_near_duplicates,
    motion_of,
    near_duplicate_problems,
    near_duplicates,
    windows_of,
)

SIZE = (72, 96)


def frames_of(seed: int, seconds: float, fps: int) -> np.ndarray:
    """Two bodies that wander about before a textured wall, which is the same for every seed, `(T, H, W)`."""
    wall = np.kron(np.random.default_rng(99).integers(60, 160, (9, 12)), np.ones((8, 8)))
    draws = np.random.default_rng(seed)
    speeds, phases = draws.uniform(0.5, 3.0, (2, 2, 3)), draws.uniform(0, 6, (2, 2, 3))
    times = np.arange(int(seconds * fps)) / fps
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    shown = np.repeat(wall[None], len(times), 0)
    for body in range(2):
        at = np.sin(speeds[body][None] * times[:, None, None] + phases[body][None]).mean(-1)  # (T, 2)
        y, x = (at[:, 0] + 1) / 2 * SIZE[0], (at[:, 1] + 1) / 2 * SIZE[1]
        inside = ((rows - y[:, None, None]) / 14) ** 2 + ((columns - x[:, None, None]) / 7) ** 2 < 1
        shown[inside] = 230 - 90 * body
    return shown.astype(np.uint8)


def film(path: Path, frames: np.ndarray, fps: int, codec: str = "libx264", scale: int = 1) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width, stream.pix_fmt = SIZE[0] * scale, SIZE[1] * scale, "yuv420p"
        for frame in np.repeat(np.repeat(frames, scale, 1), scale, 2):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(frame, format="gray").reformat(format="yuv420p"))
            )
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    whole = frames_of(0, 5.0, 24)
    made = {
        "original": film(folder / "original.mp4", whole, 24),
        "encoded anew": film(folder / "anew.avi", whole, 24, "mpeg4"),
        "larger": film(folder / "larger.mp4", whole, 24, scale=2),
        "cut out": film(folder / "cut.mp4", whole[19:], 24),
    }
    for seed in range(1, 7):
        made[f"other {seed}"] = film(folder / f"other{seed}.mp4", frames_of(seed, 5.0, 24), 24)
    still = np.repeat(frames_of(9, 5.0, 24)[:1], 120, 0)
    for number in range(2):
        made[f"still {number}"] = film(folder / f"still{number}.mp4", still, 24)
    return made


def test_copies_are_found_and_others_of_the_same_camera_are_not(videos: dict[str, Path]) -> None:
    found = near_duplicates({path: windows_of(motion_of(path)) for path in videos.values()})
    names = {path: name for name, path in videos.items()}
    pairs = {(names[each.one], names[each.other]) for each in found}
    copies = ["original", "encoded anew", "larger", "cut out"]
    assert pairs == {(one, other) for i, one in enumerate(copies) for other in copies[i + 1 :]}
    shifts = {(names[each.one], names[each.other]): each.shift_s for each in found}
    assert shifts["original", "larger"] == 0
    assert shifts["original", "cut out"] == pytest.approx(19 / 24, abs=0.13)


def test_what_does_not_move_or_is_too_short_has_no_windows(videos: dict[str, Path], tmp_path: Path) -> None:
    assert len(windows_of(motion_of(videos["still 0"]))[0]) == 0
    short = film(tmp_path / "short.mp4", frames_of(0, 1.0, 24), 24)
    assert len(windows_of(motion_of(short))[0]) == 0
    assert near_duplicates({short: windows_of(motion_of(short))}) == []


def test_videos_that_cannot_be_read_take_no_part(videos: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    told: list[tuple[int, int]] = []
    found = find_near_duplicates(
        [videos["original"], broken, videos["larger"]], progress=lambda done, of: told.append((done, of))
    )
    assert [(each.one, each.other) for each in found] == [(videos["original"], videos["larger"])]
    assert told[-1] == (3, 3)


def test_copies_in_several_splits_are_an_error_that_names_them(videos: dict[str, Path]) -> None:
    shown = {"original": "train", "cut out": "test", "larger": "train", "other 1": "test"}
    samples = tuple(Sample(name, videos[name], ("x",), split=split) for name, split in shown.items())
    manifest = Manifest(samples, LabelSet(("x",)), videos["original"].parent)
    error, warning = near_duplicate_problems(manifest, find_near_duplicates([s.path for s in samples]))
    assert (error.severity, error.kind) == ("error", "near duplicate")
    assert error.where[0].startswith("original.mp4 = cut.mp4, 0.8 s into the first (test and train)")
    assert "2 pairs of videos in several splits show the same" in error.message
    assert warning.where == ("original.mp4 = larger.mp4",)
    assert "1 pairs of videos of one split show the same; remove one" in warning.message
