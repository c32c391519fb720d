"""A file beside a video, or in a folder of such files, is found and trusted for its own video only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.extract import Extracts, FlowExtractor, extract
from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.modalities.flow.file import FlowFile
from kinesphere.clips.source import beside
from kinesphere.core.errors import InvalidAnnotation, UnreadableVideo
from kinesphere.core.skipped import Skipped
from kinesphere.data import ClipDataset, Item, Manifest
from kinesphere.data.preflight import check
from kinesphere.data.sources import Opening

FLOW = ClipSpec(Sampling.parse("4x1x1"), (48, 48), "flow", mean=(0.0, 0.0), std=(20.0, 20.0))
SUFFIX = ".flow.npz"


@pytest.fixture
def data(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Two videos of one name and one length, and a third."""
    for number, name in enumerate(("a/clip.mp4", "b/clip.mp4", "b/other.mp4")):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        make_video(tmp_path / "data" / name, frames=6, tint=number)
    return tmp_path / "data"


def stored(video: Path, extracts: Extracts) -> FlowFile | None:
    """The flow file that training and evaluation read for a video."""
    with Opening(extracts, extracting=False).open(video, [FLOW]) as source:
        return beside(source, "flow")


def predicted(video: Path, opening: Opening) -> FlowFile | None:
    """The flow file that prediction reads for a video."""
    with opening.open(str(video), [FLOW]) as source:
        return beside(source, "flow")


def videos_of(data: Path) -> list[Path]:
    return sorted(data.rglob("*.mp4"))


def test_prediction_keeps_a_file_for_each_video_of_one_name(data: Path, tmp_path: Path) -> None:
    opening = Opening(Extracts(tmp_path / "out"), keep=True)
    files = [predicted(data / name, opening) for name in ("a/clip.mp4", "b/clip.mp4")]
    assert all(files)
    places = [file.planes.path for file in files if file is not None]
    assert len(set(places)) == 2
    reading = Opening(Extracts(tmp_path / "out"))
    for name, place in zip(("a/clip.mp4", "b/clip.mp4"), places, strict=True):
        again = predicted(data / name, reading)
        assert again is not None
        assert again.planes.path == place


def test_a_file_of_another_video_is_not_taken(data: Path, tmp_path: Path) -> None:
    out = Extracts(tmp_path / "out")
    extract([data / "a" / "clip.mp4"], FlowExtractor(), extracts=out, workers=1)
    assert stored(data / "a" / "clip.mp4", out) is not None
    assert stored(data / "b" / "clip.mp4", out) is None
    assert predicted(data / "b" / "clip.mp4", Opening(out)) is None
    done = extract([data / "b" / "clip.mp4"], FlowExtractor(), extracts=out, workers=1)
    assert done.written == (data / "b" / "clip.mp4",)
    assert stored(data / "a" / "clip.mp4", out) is not None
    assert stored(data / "b" / "clip.mp4", out) is not None


def test_what_was_made_of_a_folder_is_found_for_single_files(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Extracts(tmp_path / "out")
    extract(videos_of(data), FlowExtractor(), extracts=Extracts(tmp_path / "out", data), workers=1)
    monkeypatch.chdir(data / "b")
    (tmp_path / "link").symlink_to(data, target_is_directory=True)
    (tmp_path / "one.mp4").symlink_to(data / "b" / "clip.mp4")
    shutil.copytree(data, tmp_path / "moved" / "set")
    (tmp_path / "moved" / "set" / "a" / "clip.mp4").rename(tmp_path / "moved" / "anna.mp4")
    for path in (
        data / "b" / "clip.mp4",
        Path("clip.mp4"),
        Path("../b/clip.mp4"),
        tmp_path / "link" / "b" / "clip.mp4",
        tmp_path / "one.mp4",
        tmp_path / "moved" / "set" / "b" / "clip.mp4",
    ):
        for file in (stored(path, out), predicted(path, Opening(out))):
            assert file is not None, path
            assert file.planes.path.relative_to(tmp_path / "out") == Path("b/clip.mp4.flow.npz")
    renamed = stored(tmp_path / "moved" / "anna.mp4", out)
    assert renamed is not None
    assert renamed.planes.path == tmp_path / "out" / "a" / "clip.mp4.flow.npz"


def test_a_linked_video_has_the_files_beside_what_it_leads_to(data: Path, tmp_path: Path) -> None:
    extract([data / "a" / "clip.mp4"], FlowExtractor(), workers=1)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x.mp4").symlink_to(data / "a" / "clip.mp4")
    assert stored(tmp_path / "set" / "x.mp4", Extracts()) is not None


def test_a_video_that_was_replaced_has_no_files_any_more(data: Path, tmp_path: Path) -> None:
    video = data / "a" / "clip.mp4"
    extract([video], FlowExtractor(), workers=1)
    shutil.copy(data / "b" / "clip.mp4", video)  # of the same name, length and size
    match = (
        r"clip.mp4.flow.npz belongs to another video than .*clip.mp4, or to another version of it; extract"
    )
    with pytest.raises(InvalidAnnotation, match=match):
        stored(video, Extracts())
    with pytest.raises(InvalidAnnotation, match=match):
        predicted(video, Opening())
    (note,) = extract([video], FlowExtractor(), workers=1).failures
    assert "with --overwrite" in note.reason
    assert extract([video], FlowExtractor(), workers=1, overwrite=True).written == (video,)
    assert stored(video, Extracts()) is not None


def test_training_and_checking_go_by_the_same_rule(data: Path) -> None:
    (data / "manifest.csv").write_text("path,label\na/clip.mp4,x\nb/clip.mp4,y\n")
    manifest = Manifest.read(data)
    video = manifest[0].path
    extract([video], FlowExtractor(), workers=1)
    shutil.copy(data / "b" / "other.mp4", video)
    dataset = ClipDataset(manifest, FLOW, train=True)
    failure = dataset[0]
    assert isinstance(failure, Skipped)
    assert "belongs to another video" in failure.reason
    assert isinstance(dataset[1], Item)


def test_files_that_do_not_tell_their_video_go_by_its_name(data: Path) -> None:
    video = data / "a" / "clip.mp4"
    extract([video], FlowExtractor(), workers=1)
    file = video.with_name("clip.mp4.flow.npz")
    content = {name: array for name, array in np.load(file).items() if name != "video_key"}
    np.savez(file, **content)
    shutil.copy(data / "b" / "clip.mp4", video)
    assert stored(video, Extracts()) is not None


def test_checking_tells_of_poses_of_another_video(data: Path) -> None:
    from kinesphere.clips.modalities.pose.file import write_poses
    from kinesphere.clips.modalities.pose.poses import Poses

    video = data / "a" / "clip.mp4"
    shape = (6, 1, 17)
    poses = Poses(
        np.arange(6) / 25,
        np.ones((*shape, 2), np.float32),
        np.ones(shape, np.float32),
        np.array([1]),
        "coco17",
        (48, 64),
        fps=25.0,
    )
    write_poses(poses, video.with_name("clip.mp4.pose.npz"), of=video)
    (data / "manifest.csv").write_text("path,label\na/clip.mp4,x\n")
    manifest = Manifest.read(data)
    assert (found := check(manifest, workers=1).poses) is not None
    assert (found.samples, found.unusable) == (1, ())
    content = (data / "b" / "clip.mp4").read_bytes()
    video.write_bytes(content)
    os.utime(video)
    assert (found := check(manifest, workers=1).poses) is not None
    assert (found.samples, found.unusable) == (0, ("a/clip.mp4",))


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_video_whose_name_leaves_no_room_for_a_suffix_has_no_files(data: Path, mirrored: bool) -> None:
    """A name of 251 letters is one that a video can have, and a file beside it cannot."""
    video = data / "a" / f"{'x' * 247}.mp4"
    (data / "a" / "clip.mp4").rename(video)
    extracts = Extracts(data / "files", data) if mirrored else Extracts()
    assert extracts.find(video, SUFFIX) is None
    assert extracts.need(video, SUFFIX).name == video.name + SUFFIX
    assert stored(video, extracts) is None
    with pytest.raises(InvalidAnnotation, match="There is no pose file"):
        Opening(extracts, extracting=False).open(video, also=["pose"])


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_video_that_is_a_link_to_itself_has_no_files(data: Path, mirrored: bool) -> None:
    (data / "loop.mp4").symlink_to("loop.mp4")
    extracts = Extracts(data / "files", data) if mirrored else Extracts()
    assert extracts.find(data / "loop.mp4", SUFFIX) is None
    with pytest.raises(UnreadableVideo, match="does not exist"):
        Opening(extracts).open(data / "loop.mp4", [FLOW])
