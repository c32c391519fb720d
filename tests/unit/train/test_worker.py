"""One of several training processes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinesphere.train import trainer, worker
from kinesphere.train.recipe import Recipe


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("kinesphere")
    before = found.level
    yield found
    found.setLevel(before)


@pytest.mark.parametrize(
    ("rank", "launched", "told"),
    [("0", False, ["data", "fit"]), ("0", True, ["fit"]), ("1", True, []), ("1", False, [])],
)
def test_what_is_wrong_with_the_data_is_told_once(
    recipe: Recipe, videos: Path, tmp_path: Path, logger: logging.Logger, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch, rank: str, launched: bool, told: list[str],
) -> None:  # fmt: skip
    """By `train`, where that has launched the processes, else by the first of them."""
    table = tmp_path / "data.csv"
    rows = [(label, n, "val" if n == 0 else "train") for label in ("dark", "bright") for n in range(3)]
    lines = [
        f"{videos / label}/{n}.mp4,{label},{split}" for label, n, split in rows if (label, n) != ("dark", 0)
    ]
    table.write_text("\n".join(["path,label,split", *lines]))
    run = tmp_path / "run"
    run.mkdir()
    recipe.override(f"data.source={table}", "data.val=val", "data.test=0").dump(run / "recipe.yaml")
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(worker, "end_with", lambda parent: None)
    monkeypatch.setattr(worker, "end_silently", lambda: None)
    monkeypatch.setattr(
        trainer, "fit", lambda *given: logging.getLogger("kinesphere.train").warning("of the fit")
    )
    worker.main(str(run), str(os.getppid()) if launched else None)
    said = [
        "data" if "split 'val' has no sample of 1 classes: dark" in line else line for line in caplog.messages
    ]
    assert [line.removeprefix("of the ") for line in said] == told
