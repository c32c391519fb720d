"""Late-fused models: several predictors as one, and the file that names them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, LabelMismatch
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model, save_model
from kinesphere.predict import FusedPredictor, Predictor, load
from kinesphere.predict.fusion import FusionFile

MakeVideo = Callable[..., Path]
CPU = Compute("cpu", "fp32", True)


def member(name: str, labels: tuple[str, ...] = ("hop", "skip", "jump"), seed: int = 0) -> Predictor:
    torch.manual_seed(seed)
    return Predictor(create_model(name, LabelSet(labels)), CPU)


def test_probabilities_are_the_weighted_mean_whatever_the_order_of_labels(make_video: MakeVideo) -> None:
    video = make_video()
    one, two = member("r3d_tiny"), member("two_stream_tiny", ("jump", "hop", "skip"), seed=1)
    fused = FusedPredictor((one, two), (3, 1))
    assert fused.weights == (0.75, 0.25)
    assert fused.labels.names == ("hop", "skip", "jump")
    assert fused.name == "0.75 × r3d_tiny + 0.25 × two_stream_tiny"
    said = fused.predict(video)
    expected = 0.75 * one.predict(video).probabilities + 0.25 * two.predict(video).probabilities[[1, 2, 0]]
    np.testing.assert_allclose(said.probabilities, expected, atol=1e-6)
    timeline = fused.timeline(video, window_s=2.0, stride_s=1.0)
    alone = fused.predict(video, span=tuple(timeline.spans[1]))
    np.testing.assert_allclose(timeline.probabilities[1], alone.probabilities, atol=1e-6)


def test_inputs_that_members_share_are_read_once() -> None:
    one, two, other = member("r3d_tiny"), member("r3d_tiny", seed=1), member("two_stream_tiny")
    assert FusedPredictor((one, two)).specs == one.specs
    assert FusedPredictor((one, other)).specs == (*one.specs, *other.specs)
    assert FusedPredictor((one, two)).digest() != FusedPredictor((one, two), (2, 1)).digest()
    assert FusedPredictor((one, two)).digest() == FusedPredictor((one, two), (2, 2)).digest()


def test_what_cannot_be_fused_is_refused() -> None:
    one = member("r3d_tiny")
    with pytest.raises(LabelMismatch, match="one knows 3, another 2; train them on the same data"):
        FusedPredictor((one, member("r3d_tiny", ("hop", "skip"))))
    with pytest.raises(InvalidSetting, match="takes two models or more; got 1"):
        FusedPredictor((one,))
    with pytest.raises(InvalidSetting, match="takes 2 weights, none negative"):
        FusedPredictor((one, one), (1, -1))
    assert FusedPredictor((one, one), (1e308, 1e308)).weights == (0.5, 0.5)


def test_a_folder_with_a_fusion_is_a_model(make_video: MakeVideo, tmp_path: Path) -> None:
    for seed, name in enumerate(("pixels", "more")):
        save_model(member("r3d_tiny", seed=seed).module, tmp_path / "runs" / name / "model.safetensors")
    runs = (tmp_path / "runs" / "pixels", tmp_path / "runs" / "more")
    FusionFile(runs, (0.25, 0.75)).write(tmp_path / "fused")
    # Named as seen from the folder, so that all can move together.
    moved = (tmp_path / "elsewhere").resolve()
    moved.mkdir()
    for name in ("runs", "fused"):
        (tmp_path / name).rename(moved / name)
    fused = load(moved / "fused", compute=CPU)
    assert isinstance(fused, FusedPredictor)
    assert fused.name == "0.25 × pixels + 0.75 × more"
    expected = FusedPredictor([member("r3d_tiny", seed=seed) for seed in range(2)], (1, 3))
    video = make_video()
    np.testing.assert_allclose(
        fused.predict(video).probabilities, expected.predict(video).probabilities, atol=1e-6
    )


@pytest.mark.filterwarnings("ignore::kinesphere.core.errors.NobodySeen")
def test_where_nobody_is_seen_the_model_of_pixels_answers_alone(
    make_video: MakeVideo, tmp_path: Path
) -> None:
    """In the first half of a video, in clips, windows and windows of a person alike."""
    video = Path(shutil.copy(make_video(), tmp_path / "clip.mp4"))
    pixels, joints = member("r3d_tiny"), member("dd_net_tiny", ("jump", "hop", "skip"), seed=1)
    walk = 20 + np.random.default_rng(0).random((40, 1, 17, 2), dtype=np.float32) * 20
    scores = np.ones((40, 1, 17), np.float32)
    scores[:20] = 0
    poses = Poses(np.arange(40) / 10, walk, scores, np.array([1]), "coco17", (48, 64), fps=10.0)
    write_poses(poses, video.with_name(f"{video.name}.pose.npz"), of=video)
    fused = FusedPredictor((joints, pixels), (3, 1))
    timeline = fused.timeline(video, window_s=1.0, stride_s=1.0)
    hidden, seen = (fused.predict(video, span=span) for span in ((0.0, 1.0), (3.0, 4.0)))
    nothing = FusedPredictor((joints, joints)).timeline(video, window_s=1.0, stride_s=1.0).nobody
    weightless = FusedPredictor((joints, pixels), (1, 0)).predict(video, span=(0.0, 1.0))
    alone = pixels.timeline(video, window_s=1.0, stride_s=1.0).probabilities[:, [2, 0, 1]]
    both = 0.75 * joints.timeline(video, window_s=1.0, stride_s=1.0).probabilities + 0.25 * alone
    np.testing.assert_allclose(timeline.probabilities[:2], alone[:2], atol=1e-6)
    np.testing.assert_allclose(timeline.probabilities[2:], both[2:], atol=1e-6)
    assert not timeline.nobody.any()
    np.testing.assert_allclose(hidden.probabilities, alone[0], atol=1e-6)
    np.testing.assert_allclose(seen.probabilities, both[3], atol=1e-6)
    assert hidden.notes == ("nobody is seen in it, so that the answer rests on its frames",)
    assert seen.notes == ()
    assert nothing.tolist() == [True, True, False, False]
    assert weightless.notes == ("nobody is seen in it, so that the joints were all zeros",)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("not json", "is no fusion of models .*make it again with `kinesphere fuse`"),
        ('{"format": 1, "members": [{"model": "a"}]}', "is no fusion of models"),
        ('{"format": 9, "members": []}', "has format 9, but we read up to 1; update Kinesphere"),
        (
            '{"format": 1, "members": [' + ", ".join(['{"model": "a", "weight": 1}'] * 65) + "]}",
            "65 models, where 64 are read at most",
        ),
        (" " * (2 << 20), "has 2097152 bytes; files of its kind are read up to 1048576"),
    ],
)
def test_damaged_fusions_are_refused(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "fusion.json").write_text(text)
    with pytest.raises(InvalidCheckpoint, match=match):
        load(tmp_path)
