"""Papers that the zoo's models come from: a line each in `zoo/papers.jsonl`.

A line is a JSON object with the fields of `Paper` but the section.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from kinesphere.core.errors import UnknownName
from kinesphere.models.card import Paper

TABLE = Path(__file__).parent / "zoo" / "papers.jsonl"


@cache
def _lines() -> dict[str, dict[str, str | int]]:
    papers = map(json.loads, TABLE.read_text(encoding="utf-8").splitlines())
    return {paper["url"].rstrip("/").rpartition("/")[2]: paper for paper in papers}


def cite(key: str, section: str = "") -> Paper:
    """The paper whose address ends in `key`, such as its number on arXiv, and the section that counts.

    Raises:
        UnknownName: If the table has no such paper.
    """
    if key not in _lines():
        raise UnknownName(f"No address in {TABLE.name} ends in {key!r}; add a line for the paper.")
    return Paper(**_lines()[key], section=section)  # type: ignore[arg-type]
