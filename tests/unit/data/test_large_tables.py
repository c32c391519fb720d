"""Tables of very many clips: what is done once for each row, and what once for all."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kinesphere.core import parquet
from kinesphere.data import Manifest, table_samples

ROWS = 9000


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_share_what_is_equal(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of labels, splits and groups there is one object each, and plain paths are not looked at twice."""
    rows = [(f"a/{i % 7}/v_{i}.mp4", f"c{i % 3}", f"group {i % 5}", "train") for i in range(ROWS)]
    path = tmp_path / f"m{suffix}"
    header = ("path", "label", "group", "split")
    if suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    else:
        columns = zip(*rows, strict=True)
        pq.write_table(
            pa.table({name: list(cells) for name, cells in zip(header, columns, strict=True)}), path
        )
    looked_at: list[str] = []
    resolve = table_samples.resolve_path

    def counting(where: str, text: str, root: Path) -> Path:
        looked_at.append(text)
        return resolve(where, text, root)

    monkeypatch.setattr(table_samples, "resolve_path", counting)
    samples = Manifest.read(path).samples
    assert len(samples) == ROWS
    assert samples[8].path == tmp_path / "a" / "1" / "v_8.mp4"
    assert not looked_at
    assert len({id(sample.labels) for sample in samples}) == 3
    assert len({id(sample.group) for sample in samples}) == 5
    assert not hasattr(samples[0], "__dict__")


def test_the_dictionary_of_a_parquet_file_is_not_read_anew_for_each_batch(tmp_path: Path) -> None:
    ids = pa.array([f"v_{i}" for i in range(ROWS)]).dictionary_encode()
    batch = ids.slice(0, 10)
    assert parquet._texts(batch) == [f"v_{i}" for i in range(10)]
    few = pa.array(["a", None, "b", "a"]).dictionary_encode()
    assert parquet._texts(few) == ["a", "", "b", "a"]
