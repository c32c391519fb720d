"""docs/laboratory.md tells the movement scale as it is, and its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kinesphere.synthetic.laboratory.elements import ELEMENTS
from kinesphere.synthetic.laboratory.rules import RULES
from kinesphere.synthetic.laboratory.scale import DIMENSIONS

PAGE = (Path(__file__).parents[2] / "docs" / "laboratory.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    exec(compile(block, "laboratory.md", "exec"), {})
    assert capsys.readouterr().out == "winding\n"


def test_tables_are_those_of_the_code() -> None:
    for each in DIMENSIONS:
        levels = ", ".join(f"{level.name} {level.clips}" for level in each.levels)
        assert f"| {each.base} | {each.name} | {levels} | {RULES[each.name].unit} |" in PAGE
    for element in ELEMENTS.values():
        assert f"| {element.name} | {', '.join(element.acts)} | {', '.join(element.expected)} |" in PAGE
