"""Models are measured each in a process of its own, and what fails is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.keeps_up import MODELS, measured
from benchmarks.videos import Source, encode, pictures

from kinesphere.models import list_models


def test_the_models_exist() -> None:
    assert set(MODELS) <= set(list_models())


@pytest.mark.slow
def test_a_model_has_a_row_and_an_unknown_one_a_reason(tmp_path: Path) -> None:
    source = Source("short", (48, 64), "libx264", 12, 3)
    encode(tmp_path / "short.mp4", source, pictures(source.size, 60))
    row = measured("movinet_stream_tiny", tmp_path / "short.mp4")
    assert not isinstance(row, str)
    assert row["windows"] == "0.80 s, streaming"
    assert float(row["keeps up with, fps"]) > 0
    assert "no_such_model" in str(measured("no_such_model", tmp_path / "short.mp4"))
