"""Classes named in words: from a hub's files to answers, other classes, and a search."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from word_files import hub

Command = Callable[..., Any]


@pytest.fixture
def videos(mannequins: Path, tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    for clip in sorted((mannequins / "videos").glob("*.mp4"))[:2]:
        shutil.copy(clip, tmp_path / "videos")
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video")
    return tmp_path / "videos"


def test_from_public_files_to_answers_other_classes_and_a_search(
    kinesphere: Command, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hub").mkdir()
    folder, named, other = (
        hub(tmp_path / "hub"),
        tmp_path / "named.safetensors",
        tmp_path / "other.safetensors",
    )
    imported = ["import", folder, "--model", "clip_tiny"]
    ended = kinesphere(*imported, "--classes", "wave,sit_down", "--out", named)
    assert ended.code == 0, ended.err
    assert "motion alone" in ended.out
    assert kinesphere(*imported, "--classes", "kick, wave", "--prompt", "a {}", "--out", other).code == 0

    searched = ["search", "a person waves", "--model", named, "--words", folder, "--json"]
    kept = ["--out", tmp_path / "kept", "--window", "1"]
    ended = kinesphere(*searched, videos, *kept)
    assert ended.code == 1  # done, with failures listed
    first = json.loads(ended.out)
    assert (first["videos"], first["decoded"]) == (2, 2)
    assert [Path(each["path"]).name for each in first["skipped"]] == ["broken.mp4"]
    assert "motion alone" in first["note"]
    again = json.loads(kinesphere(*searched, videos, *kept).out)
    assert again == first | {"decoded": 0}
    only = json.loads(kinesphere(*searched, "--in", tmp_path / "kept", "--top", "1").out)
    assert only["moments"] == first["moments"][:1]
    assert only["skipped"] == []

    monkeypatch.setitem(sys.modules, "tokenizers", None)
    ended = kinesphere(*searched, videos)
    assert ended.code == 2
    assert "pip install 'kinesphere[words]'" in ended.err
    shutil.rmtree(folder)
    clip = next(path for path in videos.iterdir() if path.stem != "broken")
    for model, classes in ((named, {"wave", "sit_down"}), (other, {"kick", "wave"})):
        ended = kinesphere("predict", clip, "--model", model, "--json")
        assert ended.code == 0, ended.err
        assert {each["label"] for each in json.loads(ended.out)["top"]} == classes
    # Other classes, the same sight: what one model saw serves the other.
    ended = kinesphere("search", "kick", "--model", other, "--in", tmp_path / "kept")
    assert ended.code == 0, ended.err
    assert "of 2 videos, of which 0 were decoded" in ended.out
    assert "knows what appears in frames" in ended.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Name the videos to search"),
        (["videos", "--in", "kept"], "Name the videos to search"),
        (["--in", "kept", "--window", "2"], "--in has windows of its own"),
    ],
)
def test_a_search_is_of_videos_or_of_what_was_kept(kinesphere: Command, words: list[str], said: str) -> None:
    ended = kinesphere("search", "wave", "--model", "none.safetensors", *words)
    assert ended.code == 2
    assert said in ended.err
