"""Batches of a single clip: odd counts, and what an unreadable file leaves of a batch."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import load_file

from kinesphere.train import Recipe, train
from kinesphere.train.history import read_history


def listed(videos: Path, table: Path, count: int, *others: Path) -> str:
    """A table of `count` clips of two classes and of other files to train on, and four to validate on."""
    clips = [videos / label / f"{i}.mp4" for i in range(8) for label in ("dark", "bright")]
    rows = [f"{path},{path.parent.name},train" for path in clips[:count]]
    rows += [f"{path},{path.parent.name},val" for path in clips[-4:]]
    rows += [f"{path},dark,train" for path in others]
    table.write_text("\n".join(["path,label,split", *rows]))
    return f"data.source={table}"


@pytest.mark.parametrize("damaged", [False, True], ids=["odd", "unreadable"])
@pytest.mark.parametrize(
    "precision", ["fp32", *(pytest.param(x, marks=pytest.mark.slow) for x in ("bf16", "fp16"))]
)
def test_a_batch_of_one_clip_trains(
    recipe: Recipe, videos: Path, tmp_path: Path, damaged: bool, precision: str
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    source = listed(videos, tmp_path / "data.csv", 5, *([bad] if damaged else []))
    recipe = recipe.override(
        source, "data.val=val", "data.test=0", "data.max_unreadable=0.5", "train.batch_size=2",
        "train.epochs=2", f"compute.precision={precision}",
    )  # fmt: skip
    run = train(recipe, console=Console(file=io.StringIO()))
    assert len(read_history(run.files.metrics)) == 2
    assert all(value.isfinite().all() for value in load_file(run.files.last).values())
