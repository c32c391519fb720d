"""CONTRIBUTING.md tells of files, commands and layers that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.metrics import METRICS, scores

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_files_that_are_named_are_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    quoted = re.findall(r"`((?:src|tests|docs|benchmarks|core|annotations|\.ci)/[\w./]*)`", TEXT)
    named = {*links, *quoted}
    assert len(named) > 10
    places = (ROOT, ROOT / "src" / "kinesphere")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_commands_that_are_named_are_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", TEXT)) <= targets


def test_layers_are_those_that_the_import_contract_holds() -> None:
    table = TEXT.partition("```\napps ")[2].partition("```")[0]
    shown = [re.split(r"  +", line)[0] for line in f"apps {table}".strip().splitlines()]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (each for each in settings["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    assert shown == [layer.replace("kinesphere.", "") for layer in contract["layers"]]


def test_the_metric_that_is_shown_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "true_probability" not in METRICS
    monkeypatch.setattr(METRICS, "_members", dict(METRICS._members))
    (block,) = (each for each in re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S) if "METRICS" in each)
    exec(compile(block, "CONTRIBUTING.md", "exec"), {})
    told = np.array([[0.75, 0.25], [0.5, 0.5], [0.0, 1.0], [0.25, 0.75]])
    score = scores(told, np.array([0, 1, 1, 0]), LabelSet(("a", "b")))["true_probability"]
    assert score.value == pytest.approx(0.625)
    assert score.low is not None
