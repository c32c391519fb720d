"""An output goes on with the settings that it was begun with, and with no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.settings_file import claim_settings

SETTINGS = {"model": "abc", "clip": {"size": [32, 32], "fps": None}}


def test_settings_are_kept_and_held_against_later_ones(tmp_path: Path) -> None:
    file = tmp_path / "out" / "settings.json"
    claim_settings(file, SETTINGS, output=file.parent)
    claim_settings(file, {**SETTINGS, "clip": {"size": (32, 32), "fps": None}}, output=file.parent)
    assert json.loads(file.read_text()) == SETTINGS
    with pytest.raises(
        InvalidSetting,
        match=r"out was written with other settings \(clip.fps was None, now 25, seed was None, now 1\); "
        "choose another output or delete it to start again",
    ):
        claim_settings(
            file, {**SETTINGS, "clip": {"size": [32, 32], "fps": 25}, "seed": 1}, output=file.parent
        )
    with pytest.raises(InvalidSetting, match=r"d was None, now 'x', and 2 more\); choose"):
        claim_settings(file, {**SETTINGS, **dict.fromkeys("abcdef", "x")}, output=file.parent)


def test_work_without_its_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    with pytest.raises(InvalidSetting, match=r"settings\.json does not say how it was made"):
        claim_settings(file, SETTINGS, output=tmp_path, started=True)
    claim_settings(file, SETTINGS, output=tmp_path, started=False)
    file.write_text("[]")
    with pytest.raises(InvalidSetting, match="choose another output or delete it"):
        claim_settings(file, SETTINGS, output=tmp_path)
