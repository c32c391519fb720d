"""A family's record and its named functions."""

from __future__ import annotations

import pytest
from torch import nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting, UnknownName
from kinesphere.models import counts
from kinesphere.models.family import Family
from kinesphere.models.papers import cite
from kinesphere.models.registry import MODELS

SPEC = ClipSpec(Sampling("dense", 2), size=(4, 4))


class Net(nn.Module):
    def __init__(self, num_classes: int, width: int, *, depth: int = 1) -> None:
        super().__init__()
        self.fc = nn.Linear(width * depth, num_classes)


FAMILY = Family(name="toy", paper=None, network=Net, inputs=(SPEC,), tiny_inputs=(SPEC,), stages=())


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(MODELS, "_members", {"kine_tiny": MODELS.get("kine_tiny")})
    monkeypatch.setattr(counts, "table", lambda: {"toy_wide": (7, 11), "toy_narrow": (1, 2)})


def test_values_of_a_function_are_defaults_that_may_be_changed():
    @FAMILY.model("Wide.")
    def toy_wide(num_classes: int) -> Net:
        return FAMILY.build(num_classes, 5, depth=2)

    architecture = MODELS.get("toy_wide")
    assert toy_wide(3).fc.in_features == architecture.build(3, {}).fc.in_features == 10
    assert architecture.build(3, {"width": 4}).fc.in_features == 8
    assert architecture.build(3, {"depth": 3}).fc.in_features == 15
    with pytest.raises(InvalidSetting, match="toy_wide has no argument 'length'; it takes width, depth"):
        architecture.build(3, {"length": 3})
    assert (architecture.card.parameters, architecture.card.multiply_adds) == (7, 11)
    assert toy_wide.__doc__ == architecture.card.summary == "Wide."


def test_a_function_keeps_its_own_documentation():
    @FAMILY.model("Narrow.", classes=9)
    def toy_narrow(num_classes: int) -> Net:
        """Why it is narrow."""
        return FAMILY.build(num_classes, 1)

    assert toy_narrow.__doc__ == "Why it is narrow."
    assert MODELS.get("toy_narrow").card.classes == 9


def test_a_function_that_builds_otherwise_is_refused():
    with pytest.raises(InvalidSetting, match="toy_other must return the network of its family's `build`"):

        @FAMILY.model("Other.")
        def toy_other(num_classes: int) -> Net:
            return Net(num_classes, 3)


def test_the_table_of_counts_is_what_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(counts, "TABLE", tmp_path / "counts.csv")
    counts.write()
    card = MODELS.get("kine_tiny").card
    assert (tmp_path / "counts.csv").read_text(encoding="utf-8") == (
        f"model,parameters,multiply_adds\nkine_tiny,{card.parameters},{card.multiply_adds}\n"
    )


def test_a_paper_is_cited_by_the_end_of_its_address():
    one, other = cite("1711.11248", "3.1–3.5"), cite("1711.11248", "3.5")
    assert (one.title, one.url, one.section) == (other.title, "https://arxiv.org/abs/1711.11248", "3.1–3.5")
    with pytest.raises(UnknownName, match=r"No address in papers.jsonl ends in 'nowhere'; add a line"):
        cite("nowhere")
