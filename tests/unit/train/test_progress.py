from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from kinesphere.train.module import RecognitionTask
from kinesphere.train.progress import ShowProgress


def lines(waiting: float, cached: bool, *, multi: bool = False, decodes: bool = True, **scores: float) -> str:
    row: dict[str, float | None] = dict.fromkeys(
        ("train_loss", "train_top1", "val_loss", "val_top1", "val_macro_f1"), None
    )
    row |= scores
    history = SimpleNamespace(rows=[{**row, "epoch": 1, "clips_per_s": 2.0, "waiting": waiting}])
    screen = io.StringIO()
    shown = ShowProgress(
        cast(Any, history), cast(Any, SimpleNamespace()), Console(file=screen, width=300), cached=cached,
        decodes=decodes,
    )  # fmt: skip
    task = RecognitionTask.__new__(RecognitionTask)
    object.__setattr__(task, "length", SimpleNamespace(epochs=3, steps=9))
    object.__setattr__(task, "recogniser", SimpleNamespace(labels=SimpleNamespace(multi=multi)))
    trainer = SimpleNamespace(is_global_zero=True, global_step=3)
    for _ in range(2):
        shown.on_train_epoch_end(cast(Any, trainer), task)
    return screen.getvalue()


@pytest.mark.parametrize(
    ("waiting", "cached", "advised"), [(0.82, False, 1), (0.82, True, 0), (0.2, False, 0)]
)
def test_long_waits_are_explained_once(waiting: float, cached: bool, advised: int) -> None:
    said = lines(waiting, cached)
    assert f"waiting for data {100 * waiting:.0f} %" in said
    assert said.count("data.cache=FOLDER") == advised


def test_joints_are_no_frames_that_a_cache_could_keep() -> None:
    said = lines(0.82, False, decodes=False)
    assert "waited for its clips to be read for 82 % of the epoch: compute.workers=N reads with" in said
    assert "data.cache" not in said


def test_clips_with_several_labels_show_the_score_that_picks_their_weights() -> None:
    scores = {"train_top1": 0.1, "val_top1": 0.2, "val_macro_f1": 0.3}
    assert "top-1 10.0 %  val top-1 20.0 %  2.0 clips/s" in lines(0.2, False, **scores)
    assert "epoch 1/3  val macro-F1 30.0 %  2.0 clips/s" in lines(0.2, False, multi=True, **scores)
