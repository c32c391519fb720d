"""Folders of numbered images read as videos, and lists of them."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinesphere.core.errors import DamagedVideo, InvalidSetting, SpanOutsideVideo, UnreadableVideo
from kinesphere.video import ImageFolder


def images(folder: Path, numbers: list[int], stem: str = "img_", size: tuple[int, int] = (24, 32)) -> Path:
    """Grey images; that of number n has brightness 10 n."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(folder / f"{stem}{number:05d}.png"), np.full((*size, 3), 10 * number, np.uint8))
    return folder


def shades(video: ImageFolder, *times_s: float) -> list[int]:
    return video.frames_at(times_s).data[:, 0, 0, 0].tolist()


def test_images_are_shown_at_the_stated_rate(tmp_path: Path) -> None:
    with ImageFolder.open(images(tmp_path, [1, 2, 3, 4]), 2) as video:
        assert (video.size, video.fps, video.duration_s) == ((24, 32), Fraction(2), 2.0)
        assert video.frame_times().tolist() == [0, 0.5, 1, 1.5]
        assert shades(video, 1.5, 0.0, 0.49, 0.5, 2.0) == [40, 10, 10, 20, 40]
        assert video.frames_at([0.0], size=(12, 16)).data.shape == (1, 3, 12, 16)
        assert video.damage == []
        with pytest.raises(SpanOutsideVideo, match=r"3\.000 s lies outside .* at 2 frames per second"):
            video.frames_at([3.0])


@pytest.mark.parametrize(
    ("place", "name", "text"),
    [("v", "fps.txt", "30000/1001"), (".", "fps.txt", "12 fps\n"), ("v", "frames.json", '{"fps": 12.5}')],
)
def test_a_file_states_the_rate(tmp_path: Path, place: str, name: str, text: str) -> None:
    folder = images(tmp_path / "v", [0, 1], stem="")
    with pytest.raises(UnreadableVideo, match=r"nothing states their frame rate.*fps\.txt.*column fps"):
        ImageFolder.open(folder)
    (tmp_path / place / name).write_text(text)
    expected = {"3": Fraction(30000, 1001), "1": Fraction(12), "{": Fraction(25, 2)}
    assert ImageFolder.open(folder).fps == expected[text[0]]


def test_missing_numbers_odd_sizes_and_unreadable_images_are_told(tmp_path: Path) -> None:
    folder = images(tmp_path, [1, 2, 5])
    images(tmp_path, [6], size=(48, 64))
    (folder / "img_00002.png").write_bytes(b"none")
    with pytest.warns(DamagedVideo, match="2 numbers of images are missing, the first is 3"):
        video = ImageFolder.open(folder, 1)

    assert video.duration_s == 6
    assert shades(video, 0, 1, 2, 3, 4, 5) == [10, 10, 10, 10, 50, 60]
    assert video.damage == [
        "2 numbers of images are missing, the first is 3", "an image cannot be read",
        "an image has another size than 32x24",
    ]  # fmt: skip


def test_images_of_flow_are_passed_over_and_two_sequences_refused(tmp_path: Path) -> None:
    folder = images(tmp_path, [1, 2])
    images(folder, [1, 2], "flow_x_")
    assert len(ImageFolder.open(folder, 1).frame_times()) == 2
    images(folder, [1], "left_")
    with pytest.raises(UnreadableVideo, match=r"2 sequences of images \(img_\*, left_\*\)"):
        ImageFolder.open(folder, 1)


@pytest.mark.parametrize(
    ("name", "message"), [("notes.txt", "without numbered images"), ("1.jpg", "None of the 1")]
)
def test_folders_that_are_no_videos(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideo)
        with pytest.raises(UnreadableVideo, match=message):
            ImageFolder.open(tmp_path, 5)


@pytest.mark.parametrize("text", ["0", "-3", "fast", "1/0"])
def test_a_rate_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (images(tmp_path, [1]) / "fps.txt").write_text(text)
    with pytest.raises(InvalidSetting, match=r"fps\.txt: a frame rate is a number above 0"):
        ImageFolder.open(tmp_path)


def test_one_number_twice_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(images(tmp_path, [1]) / "img_1.png"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UnreadableVideo, match="have one number"):
        ImageFolder.open(tmp_path, 1)
