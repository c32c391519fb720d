"""Settings are what was written, as their type says; recipes of strangers are bounded."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidSetting, KinesphereError
from kinesphere.core.structured import parse_value
from kinesphere.train.recipe import Recipe

MINIMAL = {"data": {"source": "videos"}}
LOOKALIKES = (
    "no", "on", "yes", "off", "null", "true", "1e3", "010", "0o17", "1:30", "2024-11-26", "1_000", ".5", "=",
    "0x1F", "12", "1.50", "~user", "nan", ".inf", "#1", "a #b", "[x]", "{x}", "*all", "&co", "!bang", "@me",
    "%d", "- dash", "a: b", "'", "2024-11-26 10:00:00",
)  # fmt: skip


def overridden(*texts: str) -> Recipe:
    return Recipe.build(MINIMAL).override(*texts)


@pytest.mark.parametrize("text", [t for t in LOOKALIKES if t != "null"])
def test_a_text_of_the_command_line_stays_what_was_typed(text: str, tmp_path: Path) -> None:
    recipe = overridden(f"out={text}", f"data.label_column={text}", f"model.name={text}")
    assert (recipe.out, recipe.data.label_column, recipe.model.name) == (text, text, text)
    recipe.dump(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize("text", ["no", "null", "1e3", "010", "1:30", "2024-11-26", "true", "~"])
def test_labels_and_sources_stay_texts(text: str, tmp_path: Path) -> None:
    recipe = overridden(f"data.source={text}", f"data.mirror=[[{text}, on]]", f"data.group_column={text}")
    assert recipe.data.source == (text,)
    assert recipe.data.mirror == ((text, "on"),)
    assert recipe.data.group_column == text
    assert overridden(f"data.source=[{text}, yes]").data.source == (text, "yes")
    (tmp_path / "a.yaml").write_text(f"data: {{source: {text}, mirror: [[off, {text}]]}}\nout: {text}\n")
    read = Recipe.load(tmp_path / "a.yaml")
    assert (read.data.source, read.data.mirror) == ((text,), (("off", text),))
    assert read.out == (None if text in ("null", "~") else text)


def test_what_a_setting_takes_beside_text() -> None:
    recipe = overridden(
        "out=null", "data.val=0.25", "data.test=no", "log.tensorboard=off", "model.pretrained=true",
        "train.seed=010", "train.epochs=1e1", "clip.fps=12", "optimizer.lr=1e-2", "compute.workers=3",
        "model.arguments={a: no, b: 1e3, c: [1, 2], d: 'no', e: ~, f: word}",
    )  # fmt: skip
    assert (recipe.out, recipe.data.val, recipe.data.test) == (None, 0.25, "no")
    assert (recipe.log.tensorboard, recipe.model.pretrained, recipe.train.seed) == (False, True, 10)
    assert (recipe.train.epochs, recipe.clip.fps, recipe.optimizer.lr) == (10, 12.0, 0.01)
    assert recipe.compute.workers == 3
    assert recipe.model.arguments == {"a": False, "b": 1000.0, "c": (1, 2), "d": "no", "e": None, "f": "word"}
    assert overridden("model.pretrained=no").model.pretrained is False
    assert overridden("model.pretrained=k400").model.pretrained == "k400"
    assert overridden("out='quoted'").out == "quoted"
    assert overridden("train={epochs: 3}", "train.seed=4").train.seed == 4
    assert overridden("schedule={name: step}", "schedule.milestones=[3, 5]").schedule.milestones == (3.0, 5.0)


def test_values_of_another_type_are_named_as_written() -> None:
    with pytest.raises(InvalidSetting, match=r"train\.epochs: .*got '2024-11-26'"):
        overridden("train.epochs=2024-11-26")
    with pytest.raises(InvalidSetting, match=r"train\.seed: .*got '1:30'"):
        overridden("train.seed=1:30")
    with pytest.raises(InvalidSetting, match=r"train\.epochs: .*got '9999"):
        overridden(f"train.epochs={'9' * 5000}")
    with pytest.raises(InvalidSetting, match=r"less than or equal to 1024; got 1000000"):
        overridden("compute.workers=1000000")
    with pytest.raises(InvalidSetting, match=r"at most 100000 frames"):
        overridden("clip.sampling=999999999x1x1")
    with pytest.raises(InvalidSetting, match=r"at most 100000 clips"):
        overridden("test.views=99999999x1")


def test_many_problems_are_counted() -> None:
    settings_of = {**MINIMAL, "train": {f"x{i}": 1 for i in range(50)}}
    with pytest.raises(InvalidSetting, match="; and 30 more"):
        Recipe.build(settings_of)


def bomb(path: Path) -> Path:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path.write_text("\n".join([*lines, "data: {source: *a11}"]))
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("&a {data: {source: *a}}", "contains itself"),
        ("data: {source: " + "[" * 3000, "deeper than 64 levels"),
        ("data: {source: v}\ntrain: {epochs: 1" + "0" * 6000 + "}", "train.epochs"),
        ("data: {source: !!python/name:os.system }", "asks for the type"),
        ("data: {source: v}\ndata: {source: w}", "gives 'data' twice"),
        ("data: {source: 2020-99-99}\ntrain: {lr: 1}", "no setting 'train.lr'"),
    ],
)
def test_recipes_that_do_harm(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(InvalidSetting, match=message):
        Recipe.load(tmp_path / "a.yaml")


def test_a_recipe_that_unfolds_without_end(tmp_path: Path) -> None:
    started = time.process_time()
    with pytest.raises(InvalidSetting, match=r"a\.yaml.* unfolds to more than 20000 values") as refusal:
        Recipe.load(bomb(tmp_path / "a.yaml"))
    assert len(str(refusal.value)) < 1000
    with pytest.raises(InvalidSetting):  # said in a value instead of a file
        overridden("data.source=" + "[" * 100 + "]" * 100, "train.seed=" + "[1," * 50)
    assert time.process_time() - started < 5


def test_dates_that_do_not_exist_are_texts(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("data: {source: 2020-99-99}\n")
    assert Recipe.load(tmp_path / "a.yaml").data.source == ("2020-99-99",)


def test_the_hostile_recipes(tmp_path: Path) -> None:
    root = os.environ.get("KINESPHERE_TEST_DATA")
    folder = Path(root or "").parent / "faults" / "hostile"
    if not root or not folder.is_dir():
        pytest.skip("KINESPHERE_TEST_DATA names no folder with hostile files beside it")
    with pytest.raises(InvalidSetting, match="unfolds"):
        Recipe.load(folder / "laugh_source.yaml")
    assert Recipe.load(folder / "bad_date.yaml").data.source == ("2020-99-99",)


KEYS = (
    "data",
    "source",
    "train",
    "epochs",
    "model",
    "arguments",
    "clip",
    "size",
    "sampling",
    "out",
    "mirror",
)
values = st.recursive(
    st.sampled_from(LOOKALIKES) | st.integers() | st.floats() | st.booleans() | st.none() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values)
def test_settings_of_any_form_raise_nothing_else(content: Any) -> None:
    for nested in (content, {"data": content}, {**MINIMAL, "model": content}, {**MINIMAL, "clip": content}):
        if isinstance(nested, dict):
            with contextlib.suppress(KinesphereError):
                Recipe.build(nested)


@settings(max_examples=150)
@given(
    st.lists(st.sampled_from(KEYS), min_size=1, max_size=3),
    st.sampled_from(LOOKALIKES) | st.text(max_size=30) | st.text("[]{},:&*!- a1", max_size=30),
)
def test_overrides_of_any_form_raise_nothing_else(keys: list[str], text: str) -> None:
    with contextlib.suppress(KinesphereError):
        overridden(f"{'.'.join(keys)}={text}")
    parse_value(text)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**6), patch=st.binary(max_size=4), cut=st.integers(0, 20))
def test_damaged_recipes_raise_nothing_else(at: int, patch: bytes, cut: int, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    Recipe.build(MINIMAL).dump(path)
    whole = path.read_bytes()
    at %= len(whole)
    path.write_bytes(whole[:at] + patch + whole[at + cut :])
    with contextlib.suppress(KinesphereError):
        Recipe.load(path)
