"""What every registry promises to those who add to it from another package."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

import kinesphere
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.registry import Registry

ROOT = Path(kinesphere.__file__).parent


def registries() -> dict[str, Registry[Any]]:
    """All of them, by what they call a member."""
    found: dict[str, Registry[Any]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        if "] = Registry(" in path.read_text(encoding="utf-8"):
            name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
            values = vars(importlib.import_module(name)).values()
            found |= {value.kind: value for value in values if isinstance(value, Registry)}
    importlib.import_module("kinesphere.clips.modality")  # says what a registry of a lower room holds
    return found


REGISTRIES = registries()


def test_all_are_found() -> None:
    assert {"model", "modality", "metric", "explanation method", "loss", "data set"} <= set(REGISTRIES)


@pytest.mark.parametrize("kind", REGISTRIES)
def test_what_is_no_member_is_refused_where_it_is_added(kind: str) -> None:
    registry = REGISTRIES[kind]
    with pytest.raises(InvalidSetting, match=rf"The {kind} 'toy' must be of type .*; got 1 \(int\)\."):
        registry.add("toy", 1)
    assert "toy" not in registry
