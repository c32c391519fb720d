"""The page on explaining names every method, with its sign."""

from __future__ import annotations

import re
from pathlib import Path

from kinesphere.explain import METHODS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explaining.md"


def test_the_table_names_every_method_with_its_sign() -> None:
    rows = re.findall(r"^\| `([\w+]+)` \| .+ \| (±?) ?\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: sign == "±" for name, sign in rows} == {name: METHODS.get(name).signed for name in METHODS}
