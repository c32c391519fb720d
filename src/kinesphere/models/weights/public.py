"""Public checkpoints of the zoo's models: a line each in `zoo/weights.jsonl`.

A line is a JSON object with the fields of `WeightEntry` that are not at their defaults, and `model`. In
`spec` stand the settings in which the input contract differs from the model's first one; a prefix of the
digest that a URL's file name ends in needs no `sha256`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from kinesphere.clips.spec import ClipSpec
from kinesphere.models.card import ReportedScore, WeightEntry

TABLE = Path(__file__).parents[1] / "zoo" / "weights.jsonl"
_DIGEST = re.compile(r"[-_]([0-9a-f]{8,64})\.(?:pth|pyth|pt)$")


@cache
def _lines() -> dict[str, list[dict[str, Any]]]:
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        lines[fields.pop("model")].append(fields)
    return lines


def public_weights(model: str, spec: ClipSpec) -> tuple[WeightEntry, ...]:
    """The table's entries of a model whose first input contract is `spec`."""
    return tuple(_entry(dict(fields), spec) for fields in _lines().get(model, ()))


def _entry(fields: dict[str, Any], spec: ClipSpec) -> WeightEntry:
    if "spec" in fields:
        fields["spec"] = ClipSpec.from_json(spec.to_json() | fields["spec"])
    fields["trained_on"] = tuple(fields["trained_on"])
    fields["scores"] = tuple(ReportedScore(**score) for score in fields.get("scores", ()))
    return WeightEntry(**{"labels": None, "sha256": _digest(fields["url"])} | fields)


def _digest(url: str) -> str | None:
    found = _DIGEST.search(url)
    return found[1] if found else None
