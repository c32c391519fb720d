from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinesphere.core.registry import Registry

Install = Callable[[Registry[Any], str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes a module of another distribution that a registry finds by an entry point, for one test."""

    def do(registry: Registry[Any], group: str, code: str) -> None:
        len(registry)  # the members of our own
        name = f"toy_{tmp_path.name}".replace("-", "_")
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / f"{name}.py").write_text(textwrap.dedent(code))
        info = tmp_path / "site" / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\ntoy = {name}\n")
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.setattr(registry, "_members", dict(registry._members))
        monkeypatch.setattr(registry, "_discovered", False)

    return do
