"""docs/events.md's Python and rules are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kinesphere.predict.events import Rules

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")


def test_its_example_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    exec(compile(block, "events.md", "exec"), {})


@pytest.mark.parametrize("text", re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S))
def test_its_rules_can_be_read(text: str) -> None:
    assert Rules.parse(text).rules
