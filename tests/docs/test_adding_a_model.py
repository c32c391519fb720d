"""The examples of docs/adding_a_model.md are what they are said to be: models that pass every contract."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kinesphere.models import card, counts, create_model, zoo
from kinesphere.models.registry import MODELS
from kinesphere.models.zoo import r3d

ROOT = Path(__file__).resolve().parents[2]
SIZE, FAMILY, *_ = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "adding_a_model.md").read_text(encoding="utf-8"), re.M | re.S
)
CONTRACTS = ROOT / "tests" / "contracts" / "test_models.py"


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the examples register is gone after the test."""
    monkeypatch.setattr(MODELS, "_members", {name: MODELS.get(name) for name in MODELS})


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[types.ModuleType]:
    """The example as a file of the zoo, which finds it by itself."""
    (tmp_path / "plain.py").write_text(FAMILY, encoding="utf-8")
    monkeypatch.setattr(zoo, "__path__", [*zoo.__path__, str(tmp_path)])
    monkeypatch.setattr(MODELS, "_discovered", False)
    assert "plain_tiny" in MODELS
    yield sys.modules["kinesphere.models.zoo.plain"]
    del sys.modules["kinesphere.models.zoo.plain"]


def contracts() -> types.ModuleType:
    """The contract tests, collected anew."""
    found = importlib.util.spec_from_file_location("contracts_again", CONTRACTS)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_one_more_size_is_one_function() -> None:
    assert len(SIZE.strip().splitlines()) <= 6
    exec(compile(SIZE, "docs/adding_a_model.md", "exec"), dict(vars(r3d)))
    with torch.device("meta"):
        made = create_model("r3d_50_basic", ("clap", "jump"))
    assert made.card.summary == "50 layers of basic blocks, 3D convolutions throughout."
    assert made.card.paper == card("r3d_18").paper
    assert made.card.parameters > card("r3d_34").parameters  # measured, for no table has it


def test_a_family_is_one_file_that_the_contracts_find(family: types.ModuleType) -> None:
    checks = contracts()
    assert "plain_tiny" in checks.TINY
    ran = 0
    for label, check in inspect.getmembers(checks, inspect.isfunction):
        if label.startswith("test_") and list(inspect.signature(check).parameters) == ["name"]:
            (mark,) = check.pytestmark
            if "plain_tiny" in mark.args[1]:
                torch.manual_seed(0)
                check("plain_tiny")
                ran += 1
    assert ran > 15


def test_every_model_of_the_example_says_what_its_decorator_says(family: types.ModuleType) -> None:
    known = card("plain_small")
    assert (known.family, known.summary, known.classes) == ("plain", "Three plain layers.", 400)
    assert [entry.tag for entry in known.weights] == ["k400"]
    assert family.plain_small.__doc__ == known.summary
    assert (known.parameters, known.multiply_adds) == counts.measure(family.plain_small, 400, known.inputs)
    wider = create_model("plain_small", ("clap", "jump"), arguments={"widths": (8, 8, 8)})
    assert wider.net.fc.in_features == 8
