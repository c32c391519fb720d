"""The table of public weights: each line is a checkpoint of a model that is there."""

from __future__ import annotations

import json

from kinesphere.models.registry import MODELS
from kinesphere.models.weights.public import TABLE, public_weights

LINES = [json.loads(line) for line in TABLE.read_text(encoding="utf-8").splitlines()]


def test_every_line_is_on_a_card():
    found = [(line["model"], line["tag"], line["url"]) for line in LINES]
    cards = {name: MODELS.get(name).card for name in {line["model"] for line in LINES}}
    listed = [
        (name, entry.tag, entry.url)
        for name in sorted(cards)
        for entry in cards[name].weights
        if entry.file is None
    ]
    assert sorted(found) == sorted(listed)
    assert [name for name, *_ in found] == sorted(name for name, *_ in found)


def test_a_contract_is_the_models_where_nothing_else_is_stated():
    for line in LINES:
        spec = MODELS.get(line["model"]).card.inputs[0]
        entry = next(each for each in public_weights(line["model"], spec) if each.tag == line["tag"])
        changed = {
            key: value
            for key, value in (entry.spec or spec).to_json().items()
            if value != spec.to_json()[key]
        }
        assert changed.keys() == line.get("spec", {}).keys()
        assert entry.sha256 is None or len(entry.sha256) >= 8


def test_digests_come_from_urls_and_scores_are_fractions():
    (entry,) = (
        each for each in public_weights("r3d_18", MODELS.get("r3d_18").card.inputs[0]) if each.tag == "k400"
    )
    assert entry.sha256 == "b3b3357e"
    assert (entry.labels, entry.classes, entry.licence) == ("kinetics400", 400, "BSD-3-Clause")
    assert [(score.metric, score.value) for score in entry.scores] == [("top1", 0.632), ("top5", 0.83479)]
    assert all(0 < score["value"] < 1 for line in LINES for score in line.get("scores", ()))
