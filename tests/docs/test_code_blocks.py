"""Every code block of the README and of docs/ is true."""

from __future__ import annotations

import pkgutil
import re
import shlex
import shutil
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main

from kinesphere.apps.cli.main import app
from kinesphere.models import card
from kinesphere.train import Recipe

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


class Block(NamedTuple):
    page: str
    language: str
    text: str


def blocks(language: str) -> list[Block]:
    return [
        Block(page.name, found[1], found[2])
        for page in PAGES
        for found in BLOCK.finditer(page.read_text(encoding="utf-8"))
        if found[1] == language
    ]


def commands() -> list[tuple[str, list[str]]]:
    parts = [
        (block.page, shlex.split(part, comments=True))
        for block in blocks("bash")
        for line in block.text.replace("\\\n", " ").splitlines()
        for part in line.split("&&")
    ]
    return [(page, words) for page, words in parts if words]


@cache
def verbs() -> dict[str, Any]:
    """The verbs of the command line by name; putting them together takes a tenth of a second."""
    return typer.main.get_command(app).commands


@pytest.mark.parametrize(("page", "words"), [c for c in commands() if c[1][0] == "kinesphere"])
def test_commands_parse(page: str, words: list[str]) -> None:
    verb = verbs()[words[1]]
    context = verb.make_context(words[1], list(words[2:]))
    if words[1] == "train":
        overrides = context.params["overrides"] or ()
        recipe = Recipe.build({"data": {"source": "videos"}}).override(*overrides)
        if recipe.model.name != "auto":
            assert recipe.model.pretrained is None or card(recipe.model.name).weight(recipe.model.pretrained)


@pytest.mark.parametrize(("page", "words"), [c for c in commands() if c[1][0] == "make"])
def test_make_targets_exist(page: str, words: list[str]) -> None:
    assert words[1] in TARGETS


def test_pages_link_to_files_that_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_modules_that_pages_name_exist() -> None:
    rooms = "|".join(path.name for path in (ROOT / "src" / "kinesphere").iterdir() if path.is_dir())
    dotted = re.compile(rf"`(?:kinesphere\.)?((?:{rooms})(?:\.\w+)+)`")
    recipe = Recipe.build({"data": {"source": "videos"}}).to_dict()
    settings = {f"{name}.{key}" for name, keys in recipe.items() if isinstance(keys, dict) for key in keys}
    named = {name for page in PAGES for name in dotted.findall(page.read_text(encoding="utf-8"))} - settings
    named -= {"video.frames_at"}  # of a function's argument
    assert len(named) > 10
    assert [name for name in sorted(named) if not _exists(f"kinesphere.{name}")] == []


def _exists(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.slow
def test_the_readmes_python_runs(
    mannequins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(mannequins, tmp_path / "videos")
    shutil.copy(next((mannequins / "videos").glob("test_*.mp4")), tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in blocks("python") if block.page == "README.md"]
    program = compile(block.text.replace("train.epochs=20", "train.epochs=2"), "README.md", "exec")
    exec(program, {"__name__": "__main__"})
    assert "top-1" in capsys.readouterr().out
    assert (tmp_path / "runs" / "python" / "model.safetensors").is_file()
