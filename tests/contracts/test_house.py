"""Rules of the house that import contracts cannot say."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

import kinesphere.models
from kinesphere.clips import MODALITIES
from kinesphere.clips.modality import sidecar_suffixes

SOURCE = Path(kinesphere.__file__).parent
LAYERS, ZOO = "kinesphere.models.layers", "kinesphere.models.zoo"
MODELS = Path(kinesphere.models.__file__).parent


@cache
def parsed(path: Path) -> ast.Module:
    """What a file says; three rules read all of them."""
    return ast.parse(path.read_text(encoding="utf-8"))


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


def test_layers_have_three_families_or_more() -> None:
    """Each function and class: one of one or two families belongs to them.

    What a layer is made of has the families of that layer too.
    """
    layers = {name: node for path in (MODELS / "layers").glob("*.py") for name, node in defined(path)}
    users: dict[str, set[str]] = {name: set() for name in layers}
    for path in (MODELS / "zoo").rglob("*.py"):
        family = path.relative_to(MODELS / "zoo").parts[0].removesuffix(".py")
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(LAYERS):
                for alias in node.names:
                    add(users, layers, alias.name, family)
    rare = {name: sorted(families) for name, families in users.items() if len(families) < 3}
    assert not rare


def defined(path: Path) -> list[tuple[str, ast.AST]]:
    """Functions and classes of a module."""
    body = parsed(path).body
    return [(node.name, node) for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def add(users: dict[str, set[str]], layers: dict[str, ast.AST], name: str, family: str) -> None:
    if name not in layers or family in users[name]:
        return
    users[name].add(family)
    for node in ast.walk(layers[name]):
        if isinstance(node, ast.Name):
            add(users, layers, node.id, family)


def _constants(nodes: Sequence[ast.AST]) -> set[object]:
    return {part.value for node in nodes for part in ast.walk(node) if isinstance(part, ast.Constant)}


def _asks_for_a_name(node: ast.AST, names: frozenset[str]) -> bool:
    """Whether code compares a modality with one of their names, or looks something up by several of them."""
    if isinstance(node, ast.Dict):
        keys = _constants([key for key in node.keys if key is not None])
        return len(keys & names) > 1 and keys <= names
    if isinstance(node, ast.Match):
        sides, known = [node.subject], _constants([case.pattern for case in node.cases])
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        known = _constants(sides)
    else:
        return False
    asked = any(re.search(r"\b(modality|modalities|needs)\b(?!\.)", ast.unparse(side)) for side in sides)
    return asked and bool(known & names)


def test_nothing_asks_which_modality_it_has_before_it() -> None:
    names = frozenset(MODALITIES)
    own = SOURCE / "clips" / "modalities"
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        if own not in path.parents
        for node in ast.walk(parsed(path))
        if _asks_for_a_name(node, names)
    ]
    assert not found
    for text in ("spec.modality == 'pose'", "{'rgb': 3, 'flow': 2}", "'mask' in needs"):
        assert _asks_for_a_name(ast.parse(text, mode="eval").body, names)
    for text in ("spec.modality != own.modality", "'flow' in modality.settings"):
        assert not _asks_for_a_name(ast.parse(text, mode="eval").body, names)


def _lists_sidecars(tree: ast.AST, suffixes: frozenset[str]) -> bool:
    """Whether code spells out the suffix of a modality's file, or imports those of several modalities."""
    imported = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("kinesphere.clips.modalities.")
        and any(alias.name == "SUFFIX" for alias in node.names)
    ]
    return len(imported) > 1 or bool(_constants([tree]) & suffixes)


def test_suffixes_of_sidecars_are_asked_of_their_modalities() -> None:
    suffixes = frozenset(sidecar_suffixes())
    own = SOURCE / "clips" / "modalities"
    assert not [
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if own not in path.parents and _lists_sidecars(parsed(path), suffixes)
    ]
    place = "from kinesphere.clips.modalities"
    both = f"{place}.pose.file import SUFFIX as POSE\n{place}.flow.file import SUFFIX"
    assert _lists_sidecars(ast.parse(both), suffixes)
    assert _lists_sidecars(ast.parse("path.name.endswith('.pose.npz')"), suffixes)


def test_files_and_functions_fit_a_screen() -> None:
    """No file above 500 lines, no function above 60."""
    long = []
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > 500:
            long.append(f"{path.relative_to(SOURCE)}: {lines} lines")
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > 60:
                    long.append(f"{path.relative_to(SOURCE)}: {node.name} has {lines} lines")
    assert not long
