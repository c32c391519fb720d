from __future__ import annotations

import pickle
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.annotations.extract import extract
from kinesphere.annotations.extract.unfinished import Unfinished
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.models import create_model, save_model
from kinesphere.predict import load
from kinesphere.predict.box import BoxPredictor
from kinesphere.predict.features import (
    SUFFIX,
    FeatureExtractor,
    FeatureGrid,
    FrameGrid,
    VideoFeatures,
    read_features,
    read_foreign,
    write_features,
)
from kinesphere.video import VideoWriter

CPU = Compute("cpu", "fp32", True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return save_model(
        create_model("fc_tiny", list("abc")), tmp_path_factory.mktemp("m") / "model.safetensors"
    )


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    made = create_model("tsm_online_tiny", list("abc"))
    return save_model(made, tmp_path_factory.mktemp("m") / "model.safetensors")


def some(rows: int = 4) -> VideoFeatures:
    return VideoFeatures(np.ones((rows, 3), np.float32), np.arange(rows) / 2 + 0.5, 1.0, 0.5, 3.0, "here")


def test_rows_lie_in_the_middle_of_their_windows_at_every_frame_rate(model, make_video, tmp_path):
    grid = FeatureGrid(0.5, 1.0)
    made = []
    for fps in (10, 12):
        video = make_video(frames=4 * fps, fps=fps)
        FeatureExtractor(str(model), grid, CPU).extract(video, tmp_path / f"{fps}{SUFFIX}")
        made.append(read_features(tmp_path / f"{fps}{SUFFIX}"))
    for each in made:
        np.testing.assert_allclose(each.times_s, 0.5 + 0.5 * np.arange(7), atol=1e-9)
        assert (each.window_s, each.stride_s, each.duration_s) == (1.0, 0.5, pytest.approx(4.0))
        np.testing.assert_allclose(each.to_s(each.to_grid([1.3, 2.0])), [1.3, 2.0])
    assert made[0].origin == made[1].origin


@pytest.mark.parametrize("rate", [25, 30, Fraction(30000, 1001), "variable"])
def test_a_moment_is_in_the_same_rows_at_every_rate(model, tmp_path, rate):
    """The picture turns from dark to bright at 3.3 s: the rows before and after do not know of each other."""
    steps = np.random.default_rng(0).choice([1 / 50, 1 / 25, 1 / 12], 400)
    times = np.cumsum(steps) - steps[0] if rate == "variable" else np.arange(400) / float(rate)
    video = tmp_path / "a.mp4"
    with VideoWriter(video, (64, 64), 25 if rate == "variable" else rate, threads=1) as writer:
        for time_s in times[times < 8].tolist():
            frame = np.full((64, 64, 3), 40 if time_s < 3.3 else 220, np.uint8)
            writer.write(frame, time_s if rate == "variable" else None)
    FeatureExtractor(str(model), FeatureGrid(0.5, 1.0), CPU).extract(video, tmp_path / f"a{SUFFIX}")
    features = read_features(tmp_path / f"a{SUFFIX}")
    np.testing.assert_allclose(features.times_s[:14], 0.5 + 0.5 * np.arange(14), atol=1e-9)
    dark, bright = features.values[0], features.values[13]
    is_dark = np.linalg.norm(features.values - dark, axis=1) < 1e-2 * np.linalg.norm(dark)
    is_bright = np.linalg.norm(features.values - bright, axis=1) < 1e-2 * np.linalg.norm(bright)
    # Windows [2, 3) and [3.5, 4.5) are the last and the first that lie on one side of the moment.
    assert is_dark[:14].nonzero()[0].tolist() == [0, 1, 2, 3, 4]
    assert is_bright[:14].nonzero()[0].tolist() == [7, 8, 9, 10, 11, 12, 13]


def test_a_file_is_of_the_windows_that_are_asked_for_now(model, make_video, tmp_path):
    """What was made of a video shorter than a window is as it would be made again; other windows are told."""
    short, target = make_video(frames=8), tmp_path / f"short{SUFFIX}"
    long = make_video(frames=60)
    two = FeatureExtractor(str(model), FeatureGrid(0.5, 2.0), CPU)
    two.extract(short, target)
    assert two.differs(target) is None
    one = FeatureExtractor(str(model), FeatureGrid(0.5, 1.0), CPU)
    whole = tmp_path / f"long{SUFFIX}"
    one.extract(long, whole)
    assert two.differs(whole) == "has windows of 1 s, not 2 s"
    usual = FeatureExtractor(str(model), FeatureGrid(0.5), CPU)
    known_s = usual.grid.known_s(usual.predictor().specs[0])
    assert known_s is not None
    assert usual.differs(whole) == f"has windows of 1 s, not {known_s:g} s"


def test_a_row_is_what_reaches_the_head_for_that_window(model, make_video, tmp_path):
    video = make_video()
    FeatureExtractor(str(model), FeatureGrid(0.5, 1.0), CPU).extract(video, tmp_path / f"a{SUFFIX}")
    features = read_features(tmp_path / f"a{SUFFIX}")
    predictor = load(model, compute=CPU)
    timeline = predictor.timeline(video, window_s=1.0, stride_s=0.5)
    head = predictor.module.net.get_submodule(predictor.module.card.head[0])
    with torch.inference_mode():
        found = head(torch.from_numpy(features.values.copy())).softmax(-1).numpy()
    np.testing.assert_allclose(found, timeline.probabilities, atol=1e-5)


def test_a_stream_gives_the_means_of_its_frames(streaming, make_video, tmp_path):
    grid = FeatureGrid(0.5, mode="streaming")
    FeatureExtractor(str(streaming), grid, CPU).extract(make_video(), tmp_path / f"a{SUFFIX}")
    features = read_features(tmp_path / f"a{SUFFIX}")
    assert len(features) == 8
    assert features.window_s == 0.5
    assert features.origin.endswith("streaming")
    path = save_model(create_model("r3d_tiny", list("abc")), tmp_path / "model.safetensors")
    with pytest.raises(InvalidSetting, match="cannot stream"):
        FeatureExtractor(str(path), grid, CPU).extract(make_video(), tmp_path / f"b{SUFFIX}")


def test_a_stopped_extraction_goes_on_within_the_video(streaming, make_video, tmp_path, monkeypatch):
    extractor = FeatureExtractor(str(streaming), FeatureGrid(0.25, mode="streaming"), CPU)
    video = make_video(frames=200)
    extractor.extract(video, tmp_path / f"whole{SUFFIX}")
    monkeypatch.setattr("kinesphere.annotations.extract.unfinished._EVERY_S", 0.0)
    add, count = Unfinished.add, [0]

    def stopped(self: Unfinished, *arguments: object) -> None:
        add(self, *arguments)
        count[0] += 1
        if count[0] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Unfinished, "add", stopped)
    with pytest.raises(KeyboardInterrupt):
        extractor.extract(video, tmp_path / f"parts{SUFFIX}")
    extractor.extract(video, tmp_path / f"parts{SUFFIX}")
    whole, parts = (read_features(tmp_path / f"{name}{SUFFIX}") for name in ("whole", "parts"))
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-5)
    assert count[0] > 2


def test_files_are_kept_and_others_told(model, make_video, tmp_path):
    video = make_video()
    extractor = FeatureExtractor(str(model), FeatureGrid(1.0, 1.0), CPU)
    first, again = (extract([video], extractor, extracts=Extracts(tmp_path), workers=1) for _ in range(2))
    assert (len(first.written), len(again.kept)) == (1, 1)
    other = extract(
        [video], replace(extractor, grid=FeatureGrid(0.5, 1.0)), extracts=Extracts(tmp_path), workers=1
    )
    assert "has a stride of 1 s, not 0.5 s; overwrite it" in other.failures[0].reason


def test_a_video_that_is_shorter_than_a_window_is_one(model, make_video, tmp_path):
    FeatureExtractor(str(model), FeatureGrid(0.5, 9.0), CPU).extract(make_video(), tmp_path / f"a{SUFFIX}")
    features = read_features(tmp_path / f"a{SUFFIX}")
    assert (len(features), features.window_s) == (1, pytest.approx(4.0))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"values": np.ones(3, np.float32)}, "features are rows"),
        ({"values": np.full((4, 3), np.nan, np.float32)}, "some are not"),
        ({"stride_s": 0.0}, "positive seconds"),
        ({"times_s": np.array([0.5, 1.0, 1.9, 2.4])}, "are a grid of 0.5 s; they differ from it by 0.4 s"),
    ],
)
def test_what_are_no_features_is_refused(change, says):
    with pytest.raises(InvalidAnnotation, match=says):
        replace(some(), **change)


def test_damaged_files_are_told(tmp_path):
    path = write_features(tmp_path / f"a{SUFFIX}", some())
    np.testing.assert_array_equal(read_features(path).values, some().values)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InvalidAnnotation, match="not a readable features file"):
        read_features(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pkl", ".csv", ".h5"])
def test_features_of_other_programs_lie_on_the_stated_grid(suffix, tmp_path):
    path, values = tmp_path / f"v{suffix}", np.arange(12, dtype=np.float32).reshape(4, 3)
    if suffix == ".npy":
        np.save(path, values)
    elif suffix == ".npz":
        np.savez(path, v=values, other=values + 1)
    elif suffix == ".pkl":
        path.write_bytes(pickle.dumps({"v": values, "other": values + 1}))
    elif suffix == ".csv":
        np.savetxt(path, values, delimiter=",", header="a,b,c", comments="")
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["v"], file["other"] = values, values + 1
    grid = FrameGrid(4, 16, float(Fraction(30000, 1001)))
    features = read_foreign(path, grid, name="v")
    np.testing.assert_array_equal(features.values, values)
    # (row · stride + half a window) / fps, of this file's own frame rate
    np.testing.assert_allclose(features.times_s, (np.arange(4) * 4 + 8) * 1001 / 30000)


def test_files_that_hold_no_such_table_are_told(tmp_path):
    grid = FrameGrid(4, 16, 25)
    np.savez(tmp_path / "two.npz", a=np.ones((2, 2)), b=np.ones((2, 2)))
    np.save(tmp_path / "cube.npy", np.ones((2, 2, 2)))
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "a.txt").write_text("1")
    for name, says in (
        ("two.npz", r"holds 2 arrays \(a, b …\) and none named 'c'"),
        ("cube.npy", "should hold rows of features"),
        ("text.npy", "is no readable file of features"),
        ("a.txt", "Features are read from .npy"),
    ):
        with pytest.raises(InvalidAnnotation, match=says):
            read_foreign(tmp_path / name, grid, name="c")
    np.save(tmp_path / "first.npy", np.ones((3, 7)))
    assert read_foreign(tmp_path / "first.npy", grid, channels_first=True).values.shape == (7, 3)
    with pytest.raises(InvalidSetting, match="A grid of frames is a positive stride"):
        FrameGrid(4, 16, 0)


@pytest.mark.parametrize("shape", [(1, 8), (9, 1), (1, 20, 8), (20, 1, 8), (20, 8, 1, 1), (1, 8, 1, 1)])
def test_sides_of_one_that_are_more_than_two_go_and_a_row_stays_a_row(shape, tmp_path):
    np.save(tmp_path / "a.npy", np.ones(shape))
    wanted = (1, 8) if shape.count(1) == len(shape) - 1 and 8 in shape else (shape[0], shape[1])
    wanted = {(1, 20, 8): (20, 8), (20, 1, 8): (20, 8)}.get(shape, wanted)
    assert read_foreign(tmp_path / "a.npy", FrameGrid(4, 16, 25)).values.shape == wanted


def test_what_is_no_array_of_real_numbers_is_told(tmp_path):
    clock = FrameGrid(4, 16, 25)
    cases: tuple[tuple[np.ndarray, str], ...] = (
        (np.ones((0, 8)), r"should hold rows of features \(N, D\); got \(0, 8\)"),
        (np.ones((3, 4), complex), "it holds complex128 in place of real numbers"),
        (np.array([["1", "2"]]), "in place of real numbers"),
        (np.zeros((3, 4), "M8[s]"), "in place of real numbers"),
        (np.full((3, 4), 1e300), "finite numbers; some are not"),
    )
    for number, (content, says) in enumerate(cases):
        np.save(tmp_path / f"{number}.npy", content)
        with pytest.raises(InvalidAnnotation, match=says):
            read_foreign(tmp_path / f"{number}.npy", clock)
    (tmp_path / "none.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(InvalidAnnotation, match="holds no array"):
        read_foreign(tmp_path / "none.pkl", clock)


def test_tables_of_numbers_are_read_as_they_are_written(tmp_path):
    clock, path = FrameGrid(4, 16, 25), tmp_path / "a.csv"
    for text in ("\ufeffa,b\n1,2\n\n3,4\n\n", "1;2\n3;4\n", "1\t2\n3\t4"):
        path.write_text(text, encoding="utf-8")
        np.testing.assert_array_equal(read_foreign(path, clock).values, [[1, 2], [3, 4]])
    for text in ("1,2\n3\n", "", "a,b\n", "1," + "x" * 200_000, "1\0,2\n"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InvalidAnnotation, match=r"no readable file of features|should hold rows"):
            read_foreign(path, clock)


def test_a_grid_that_does_not_go_with_the_length_of_the_video_is_told(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((100, 8)))  # 100 rows every 4 frames at 25: 16.5 s
    path, clock = tmp_path / "a.npy", FrameGrid(4, 16, 25)
    assert read_foreign(path, clock, duration_s=16.0).duration_s == 16.0
    for duration_s in (15.7, 40.0):
        with pytest.raises(InvalidAnnotation, match=r"its 100 rows reach to 16\.5 s, but the video ends at"):
            read_foreign(path, clock, duration_s=duration_s)


def test_hdf5_opens_no_other_file_and_takes_no_more_than_its_size_makes_plausible(tmp_path):
    h5py = pytest.importorskip("h5py")
    clock, path = FrameGrid(4, 16, 25), tmp_path / "a.h5"
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(32))

    def virtual(file):
        layout = h5py.VirtualLayout(shape=(4, 2), dtype="<f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "v", shape=(4, 2))
        file.create_virtual_dataset("v", layout)

    def link(file):
        file["v"] = h5py.ExternalLink("other.h5", "v")

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["v"] = np.ones((4, 2), np.float32)
    for fill, says in (
        (lambda file: None, "holds no array"),
        (link, "holds no array"),
        (virtual, "in other files, which are not opened"),
        (
            lambda file: file.create_dataset("v", (4, 2), "<f4", external=[(str(secret), 0, 32)]),
            "in other files, which are not opened",
        ),
        (
            lambda file: file.create_dataset("v", (10**9, 1024), "f4", chunks=(1024, 1024)),
            "damaged or made to do harm",
        ),
        (
            lambda file: file.create_dataset("v", (400_000, 1024), "f4", chunks=(1024, 1024)),
            "damaged or made to do harm",
        ),
    ):
        with h5py.File(path, "w") as file:
            fill(file)
        with pytest.raises(InvalidAnnotation, match=says):
            read_foreign(path, clock)


def test_several_models_have_no_features_in_common(monkeypatch):
    monkeypatch.setattr(
        "kinesphere.predict.features.extract.load", lambda *_, **__: BoxPredictor(compute=CPU)
    )
    with pytest.raises(InvalidSetting, match="several models whose answers are put together"):
        FeatureExtractor("fused").predictor()
    with pytest.raises(InvalidSetting, match="a positive stride and window"):
        FeatureGrid(0.0)
