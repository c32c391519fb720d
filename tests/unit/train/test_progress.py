from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from kinesphere.train.module import RecognitionTask
from kinesphere.train.progress import ShowProgress


def lines(waiting: float, cached: bool) -> str:
    row = dict.fromkeys(("train_loss", "train_top1", "val_loss", "val_top1"), None)
    history = SimpleNamespace(rows=[{**row, "epoch": 1, "clips_per_s": 2.0, "waiting": waiting}])
    screen = io.StringIO()
    shown = ShowProgress(
        cast(Any, history), cast(Any, SimpleNamespace()), Console(file=screen, width=300), cached=cached
    )
    task = RecognitionTask.__new__(RecognitionTask)
    object.__setattr__(task, "length", SimpleNamespace(epochs=3, steps=9))
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
