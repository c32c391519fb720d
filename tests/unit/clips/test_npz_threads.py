from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest

from kinesphere.clips.npz import read_arrays


def test_headers_are_parsed_by_one_thread_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.ones(2), b=np.zeros(3))
    parse, busy, met = np.lib.format.read_array_header_1_0, Lock(), []

    def slow(*arguments: Any, **options: Any) -> Any:
        met.append(busy.acquire(blocking=False))
        time.sleep(0.002)
        busy.release()
        return parse(*arguments, **options)

    monkeypatch.setattr(np.lib.format, "read_array_header_1_0", slow)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read_arrays(path), range(8)))
    assert all(met)
    assert [sorted(each) for each in found] == [["a", "b"]] * 8
