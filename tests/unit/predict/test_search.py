"""Search by words: likeness as in recognition, and what was seen is kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.clips.clip import stack
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import Views
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting
from kinesphere.models import create_model, embed_query
from kinesphere.predict import Predictor
from kinesphere.predict import search as room
from kinesphere.predict.long_video import window_clips
from kinesphere.predict.search import Searcher, apart, read_kept, search_kept

from .conftest import MakeVideo

CPU = Compute("cpu", "fp32", channels_last=True)


def named(model: str) -> Predictor:
    torch.manual_seed(0)
    return Predictor(create_model(model, ["hop", "skip"]), CPU, optimise=False)


@pytest.fixture(scope="module")
def clip() -> Predictor:
    return named("clip_tiny")


@pytest.fixture
def videos(make_video: MakeVideo, tmp_path: Path) -> list[str]:
    return [str(shutil.copy(make_video(seed=seed), tmp_path / f"{seed}.mp4")) for seed in (0, 1)]


@pytest.mark.parametrize("model", ["clip_tiny", "siglip_tiny", "xclip_tiny"])
def test_likeness_is_what_recognition_rests_on(model: str, make_video: MakeVideo) -> None:
    predictor, source = named(model), str(make_video())
    recogniser, spec = predictor.module, predictor.spec
    found = Searcher(predictor, window_s=1.0, stride_s=1.0).search(embed_query(recogniser, "skip"), [source])
    windows = list(window_clips(source, predictor.specs, 1.0, 1.0, Views(), predictor.opening))
    x = torch.stack([stack(window.clips[0])[0] for window in windows])
    with torch.no_grad():
        logits = recogniser(MODALITIES.get(spec.modality).normalise(x, spec, torch.float32))[:, 1]
        scale = recogniser.net.temperature.log_scale.exp()
        bias = recogniser.net.temperature.bias or 0
    expected = sorted(((logits - bias) / scale).tolist(), reverse=True)
    assert [moment.similarity for moment in found.moments] == pytest.approx(expected, abs=2e-3)
    assert (found.videos, found.windows, found.decoded) == (1, len(windows), 1)


def test_other_words_decode_nothing(
    clip: Predictor, videos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, gone = tmp_path / "kept", str(tmp_path / "gone.mp4")
    hop, skip = (embed_query(clip.module, name) for name in ("hop", "skip"))
    first = Searcher(clip, keep=kept).search(hop, [*videos, gone])
    assert first.decoded == 2
    assert [each.path for each in first.skipped] == [gone]
    assert "does not exist" in first.skipped[0].reason
    assert len(list(kept.glob("*.seen.npz"))) == 2
    fresh = Searcher(clip).search(skip, videos)
    monkeypatch.setattr(room, "window_clips", None)
    again = Searcher(clip, keep=kept).search(skip, videos)
    assert again.decoded == 0
    assert again.moments == fresh.moments
    for video in videos:
        Path(video).unlink()
    assert search_kept(clip, skip, kept).moments == fresh.moments
    assert len(search_kept(clip, skip, kept, top=1).moments) == 1


def test_what_was_seen_of_another_version_or_is_damaged_is_looked_at_again(
    clip: Predictor,
    videos: list[str],
    make_video: MakeVideo,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept, hop = tmp_path / "kept", embed_query(clip.module, "hop")
    searcher = Searcher(clip, keep=kept, window_s=0.3, stride_s=0.3)
    assert searcher.search(hop, videos).decoded == 2
    file = next(kept.glob("0.*.seen.npz"))
    assert [len(part.spans) for part in read_kept(file)] == [8, 6]  # never a whole video at once
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    damaged = search_kept(clip, hop, kept)
    assert damaged.videos == 1
    assert "does not tell what was seen" in damaged.skipped[0].reason
    shutil.copy(make_video(seed=2), videos[1])
    assert searcher.search(hop, videos).decoded == 2
    assert "0.mp4 is looked at again" in caplog.text
    assert search_kept(clip, hop, kept).videos == 2  # nothing of the video before it changed


def test_what_was_kept_and_is_not_what_was_seen_is_looked_at_again(
    clip: Predictor, videos: list[str], tmp_path: Path
) -> None:
    kept, hop = tmp_path / "kept", embed_query(clip.module, "hop")
    searcher = Searcher(clip, keep=kept)
    first = searcher.search(hop, videos)
    file = next(kept.glob("0.*.seen.npz"))
    whole = file.read_bytes()
    with np.load(file) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    seen = content["seen_0"]
    for wrong, said in (
        (whole.replace(seen.tobytes(), bytes(seen.nbytes)), "is not what was written"),
        (seen[..., :5], "not of this model"),
        (np.full_like(seen, np.nan), "holds no finite numbers"),
        (seen[:, :0], "has the shapes"),
    ):
        if isinstance(wrong, bytes):
            file.write_bytes(wrong)
        else:
            np.savez(file, **content | {"seen_0": wrong})
        listed = search_kept(clip, hop, kept)
        assert (listed.videos, said in listed.skipped[0].reason) == (1, True), listed.skipped
        again = searcher.search(hop, videos)
        assert (again.decoded, again.moments) == (1, first.moments)
    os.mkfifo(kept / "pipe.seen.npz")
    assert "no regular file" in search_kept(clip, hop, kept).skipped[0].reason


def test_a_folder_goes_with_one_model_and_one_kind_of_windows(clip: Predictor, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="is no folder that a search kept"):
        search_kept(clip, embed_query(clip.module, "hop"), tmp_path)
    with pytest.raises(InvalidSetting, match=r"would leave gaps"):
        Searcher(clip, stride_s=9.0, keep=tmp_path)
    Searcher(clip, keep=tmp_path)
    with pytest.raises(InvalidSetting, match=r"other settings \(stride was 2\.0, now 1\.0\)"):
        Searcher(clip, stride_s=1.0, keep=tmp_path)
    other = named("siglip_tiny")
    with pytest.raises(InvalidSetting, match="was seen by another model"):
        search_kept(other, embed_query(other.module, "hop"), tmp_path)
    # other classes change nothing of what is seen
    renamed = Predictor(create_model("clip_tiny", ["run"]), CPU, optimise=False)
    renamed.module.net.load_state_dict(
        {**clip.module.net.state_dict(), "fc.weight": renamed.module.net.fc.weight}
    )
    Searcher(renamed, keep=tmp_path)


def test_what_cannot_be_searched_is_said(predictor: Predictor, clip: Predictor) -> None:
    with pytest.raises(InvalidSetting, match="r3d_tiny does not compare what it sees with words"):
        Searcher(predictor)
    with pytest.raises(InvalidSetting, match="The classes of r3d_tiny are learnt"):
        embed_query(predictor.module, "hop")
    with pytest.raises(
        InvalidSetting, match=r"'a person runs' is none of the model's classes \('hop, skip'\)"
    ):
        embed_query(clip.module, "a person runs")
    with pytest.raises(InvalidSetting, match="at least one moment"):
        Searcher(clip).search(embed_query(clip.module, "hop"), [], top=0)


def test_of_windows_that_overlap_the_best_is_listed() -> None:
    spans = np.array([[0.0, 4], [2, 6], [4, 8], [6, 10]])
    assert apart(spans, np.array([0.1, 0.4, 0.3, 0.2]), 9) == [1, 3]
    assert apart(spans, np.array([0.3, 0.2, 0.3, 0.1]), 9) == [0, 2]
    assert apart(spans, np.array([0.3, 0.2, 0.3, 0.1]), 1) == [0]
