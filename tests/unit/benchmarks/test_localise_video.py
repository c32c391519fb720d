from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks import localise_video
from benchmarks.localise import BASELINE, recipe_of


@pytest.mark.slow
def test_recordings_are_made_seen_and_asked_about(tmp_path, monkeypatch):
    monkeypatch.setattr(localise_video, "MOVEMENTS", 2)
    filmed = replace(localise_video.FILMED, performers=4, scenes=4, size=(48, 64), classes=("clap", "wave"))
    recordings = localise_video.recordings_of(tmp_path, filmed, count=3)
    train, test = localise_video.divided(recordings)
    assert (len(train), len(test)) == (2, 1)
    assert {each.label for each in test[0].labels} <= {"clap", "wave"}
    assert test[0].features.stride_s == localise_video.STRIDE_S
    for recipe in (None, recipe_of("temporalmaxer", 6, 16)):
        found = localise_video.told(recipe, train, test, tmp_path)
        assert {each.video for each in found} <= {test[0].video}
    assert BASELINE not in localise_video.MODELS
