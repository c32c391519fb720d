"""Files of results that are damaged or made to do harm: typed errors, whatever they hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidSetting, KinesphereError
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.protocol import Environment, Protocol
from kinesphere.evaluate.report import Report, report_from_predictions
from kinesphere.predict import PredictionLog
from kinesphere.predict.fusion import FusionFile
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.timeline_files import read_timeline, write_timeline

LABELS = LabelSet(("clap", "wave"))
DEEP = "[" * 5000 + "]" * 5000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def predictions() -> Predictions:
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    names = ("a", "b", "c")
    return Predictions(LABELS, names, names, (None,) * 3, names, np.array([0, 1, 1]), p, (None,) * 3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One valid file of each kind, by name."""
    folder = tmp_path_factory.mktemp("results")
    predictions().write(folder / "predictions.parquet")
    protocol = Protocol("toy", "abc", "test", "1x1", ("8x1x1",))
    provenance = Environment("fc", "0", "0", "cpu", "fp32", "2030-01-01")
    report_from_predictions(predictions(), protocol, provenance).write(folder / "report.json")
    timeline = Timeline(np.eye(2), np.array([[0.0, 1.0], [1.0, 2.0]]), LABELS, "a.mp4")
    for name in ("timeline.json", "timeline.parquet"):
        write_timeline(timeline, folder / name)
    (folder / "log.jsonl").write_text('{"source": "a.mp4", "top": []}\n{"source": "b.mp4", "error": "x"}\n')
    (folder / "fusion.json").write_text('{"format": 1, "members": [{"model": "a", "weight": 1}]}')
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def open_log(path: Path) -> None:
    (path.parent / f"{path.name}.settings.json").write_text("{}")
    with PredictionLog(path, {}):
        pass


READERS: dict[str, Callable[[Path], Any]] = {
    "predictions.parquet": Predictions.read,
    "report.json": Report.read,
    "timeline.json": read_timeline,
    "timeline.parquet": read_timeline,
    "log.jsonl": open_log,
    "fusion.json": lambda path: FusionFile.read(path.parent),
}


def attempt(name: str, folder: Path, content: bytes) -> None:
    """Read a file; only typed errors may come out."""
    path = folder / name
    path.write_bytes(content)
    with suppress(KinesphereError):
        READERS[name](path)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes(name: str, files: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(files[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    attempt(name, tmp_path, bytes(content[: data.draw(st.integers(0, len(content)))]))
    attempt(name, tmp_path, bytes(content))


@pytest.mark.parametrize("name", [name for name in READERS if not name.endswith("parquet")])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_other_structures(name: str, files: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    """Valid JSON in which any part is something else."""
    lines = [json.loads(line) for line in files[name].splitlines()] if name == "log.jsonl" else None
    tree = lines if lines is not None else json.loads(files[name])
    holder, key = None, None
    node = tree
    while isinstance(node, dict | list) and node and data.draw(st.booleans()):
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        holder, key = node, data.draw(st.sampled_from(keys))
        node = node[key]
    other = data.draw(JSON)
    if holder is None:
        tree = other if lines is None else [other]
    else:
        holder[key] = other
    text = "\n".join(map(json.dumps, tree)) + "\n" if isinstance(lines, list) else json.dumps(tree)
    attempt(name, tmp_path, text.encode())


@pytest.mark.parametrize("name", [name for name in READERS if not name.endswith("parquet")])
def test_depth_without_end(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(f"{DEEP}\n")
    with pytest.raises(KinesphereError):
        READERS[name](tmp_path / name)


def test_tables_claim_no_more_than_their_bytes(tmp_path: Path) -> None:
    """Four million equal rows are little on the disk and sixteen gigabytes as texts."""
    rows = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1 << 22, np.int8)), pa.array(["x" * 4000]))
    path = tmp_path / "predictions.parquet"
    pq.write_table(pa.table({"path": rows}), path)
    assert path.stat().st_size < 8 << 20
    with pytest.raises(InvalidSetting, match=r"claims .* for its (values|texts)"):
        Predictions.read(path)
