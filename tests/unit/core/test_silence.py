from __future__ import annotations

import os

import pytest

from kinesphere.core.silence import native_silence


def test_nothing_is_heard_within_and_all_after(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with native_silence():
            os.write(2, b"chatter")
            raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        fail()
    os.write(2, b"news")
    assert capfd.readouterr().err == "news"


def test_a_process_without_the_stream_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(descriptor: int) -> int:
        raise OSError(descriptor)

    monkeypatch.setattr(os, "dup", missing)
    with native_silence():
        pass
