"""Rules of the house that import contracts cannot say."""

from __future__ import annotations

from graphlib import TopologicalSorter

import grimp
import pytest

LAYERS, ZOO = "kinesphere.models.layers", "kinesphere.models.zoo"


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("kinesphere", exclude_type_checking_imports=True, cache_dir=None)


def test_no_module_imports_itself_by_way_of_others(graph: grimp.ImportGraph) -> None:
    """Imports inside functions count; `prepare` raises `CycleError`, which lists the circle."""
    TopologicalSorter(
        {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    ).prepare()


def test_cards_are_made_of_families_alone(graph: grimp.ImportGraph) -> None:
    """No zoo file puts a card together or enters a model by itself."""
    assert not graph.find_modules_that_directly_import("kinesphere.models.registry") & {
        name for name in graph.modules if name.startswith(f"{ZOO}.")
    }


def test_layers_have_three_families_or_more(graph: grimp.ImportGraph) -> None:
    """A layer of one or two families belongs to them. Layers built on it pass their families on."""

    def families(layer: str) -> set[str]:
        found: set[str] = set()
        for user in graph.find_modules_that_directly_import(layer):
            if user.startswith(f"{ZOO}."):
                found.add(user.split(".")[3])
            elif user.startswith(f"{LAYERS}."):
                found |= families(user)
        return found

    layers = graph.find_children(LAYERS)
    assert layers
    rare = {layer: sorted(users) for layer in layers if len(users := families(layer)) < 3}
    assert not rare
