from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from kinesphere.clips.augment.settings import Augment
from kinesphere.core.errors import InvalidSetting
from kinesphere.train.recipe import Recipe

MINIMAL = {"data": {"source": "videos"}}


def test_only_the_source_is_required() -> None:
    recipe = Recipe.build(MINIMAL)
    assert recipe.data.source == ("videos",)
    with pytest.raises(InvalidSetting, match="'data' is required"):
        Recipe.build({})


def test_every_setting_is_described_by_a_phrase_that_an_editor_can_show_alone() -> None:
    def descriptions(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
        for name, field in model.model_fields.items():
            yield name, field.description or ""
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                yield from descriptions(field.annotation)

    vague = re.compile(r"(Of|The same|What|Which|How|Where|Whether it|It|Their|Everything)\b(?! settings)")
    told = dict(descriptions(Recipe))
    assert len(told) > 60
    assert {name: text for name, text in told.items() if not text.endswith(".") or vague.match(text)} == {}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimiser.lr=1", r"no setting 'optimiser' \(did you mean optimizer\)"),
        ("optimizer.leaning_rate=1", r"no setting 'optimizer.leaning_rate' \(known: name, lr, "),
        ("augment.mixupp=1", r"did you mean augment\.mixup"),
        ("optimizer.lr=-1", "optimizer.lr: Input should be greater than 0; got -1"),
        ("train.epochs=2.5", "train.epochs: Input should be a valid integer"),
        ("clip.sampling=3x", "clip.sampling: Cannot read sampling '3x'"),
        ("test.views=10x4", "test.views: Views need .* 1, 2, 3, 5 or 10 crops"),
        ("augment.joint_turn_deg=[1, -2, 3]", "augment.joint_turn_deg.* greater than or equal to 0; got -2"),
        (
            "unlabelled.method=masked_tubes",
            "masked_tubes learns without labels before training; write pretrain.method=masked_tubes; got ",
        ),
        ("pretrain.method=fixmatch", "fixmatch learns beside clips with labels; write unlabelled.method=f"),
        ("unlabelled.method=fixmach", "unlabelled.method: Input should be 'fixmatch'; got 'fixmach'"),
        ("clip.align=front", "clip.align: Input should be 'none', 'centre' or 'body'; got 'front'"),
        ("data.val=1.0", "val as a fraction is at least 0 and below 1; got 1.0"),
        ("schedule.name=step", "the step schedule needs milestones"),
        ("schedule={name: step, milestones: [3, 1]}", r"milestones rise; got \[3.0, 1.0\]"),
        ("train={epochs: 1, steps: 1}", "give epochs or steps, not both"),
        ("data.parents={walk:base}", "parents: 'walk:base' has no parent; write {label: parent}"),
        ("optimizer", "write section.key=value"),
        ("train.seed.x=1", "'seed' is a value, not a section"),
    ],
)
def test_wrong_settings_are_explained(override: str, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        Recipe.build(MINIMAL).override(override)


def test_an_override_of_a_value_as_a_section() -> None:
    with pytest.raises(InvalidSetting, match="'out' is a value, not a section"):
        Recipe.build({**MINIMAL, "out": "x"}).override("out.folder=1")


def test_overrides_take_yaml() -> None:
    recipe = Recipe.build(MINIMAL).override(
        "clip.size=112", "optimizer.lr=1e-2", "train.ema=0.99", "data.val=fold2", "model.arguments={width: 8}"
    )
    assert recipe.clip.size == (112, 112)
    assert recipe.optimizer.lr == 0.01
    assert recipe.train.ema == 0.99
    assert recipe.data.val == "fold2"
    assert recipe.model.arguments == {"width": 8}


def test_file_round_trip(tmp_path: Path) -> None:
    recipe = Recipe.build(MINIMAL).override("clip.size=[96, 128]", "data.mirror=[[left, right]]")
    recipe.dump(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    assert Recipe.load(tmp_path) == recipe  # a run folder
    assert Recipe.load(tmp_path / "recipe.yaml", ["train.seed=3"]).train.seed == 3
    assert recipe.differences(recipe.override("train.seed=3")) == ["train.seed: 0 / 3"]


def test_data_make_a_recipe(tmp_path: Path) -> None:
    table = tmp_path / "data.csv"
    table.write_text("path,label\n")
    assert Recipe.load(table, ["model.name=r3d_18"]).data.source == (str(table),)


def test_what_the_command_line_gave_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    table, recipe = tmp_path / "data.csv", tmp_path / "recipe.yaml"
    table.write_text("path,label\n")
    of_line = r"^In the overrides of the command line: "
    for override in ("clip.max_people=3", "optimizer.lr=-1", "schedule.name=step"):
        with pytest.raises(InvalidSetting, match=of_line) as caught:
            Recipe.load(table, [override])
        assert "data.csv" not in str(caught.value)
    recipe.write_text("data: {source: videos}\ntrain: {epochs: -1}\n")
    with pytest.raises(InvalidSetting, match=r"^In .*recipe\.yaml: train\.epochs: [^:]*; got -1\.$"):
        Recipe.load(recipe, ["clip.size=112"])
    with pytest.raises(
        InvalidSetting,
        match=r"^In the overrides .*'optimizer\.people' .*\. In .*recipe\.yaml: train\.epochs: ",
    ):
        Recipe.load(recipe, iter(["optimizer.people=3"]))


def test_unreadable_recipes(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="no recipe, run folder or data at"):
        Recipe.load(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(InvalidSetting, match="not a readable YAML recipe"):
        Recipe.load(broken)
    broken.write_text("just text")
    with pytest.raises(InvalidSetting, match="it holds str, not sections"):
        Recipe.load(broken)


def test_every_setting_is_documented_in_the_schema() -> None:
    schema = json.loads(json.dumps(Recipe.json_schema()))
    for section in [schema, *schema["$defs"].values()]:
        for name, field in section["properties"].items():
            assert field.get("description") or "$ref" in field, name
        assert section["description"]
        assert section["additionalProperties"] is False


def test_a_preset_decides_what_is_not_set() -> None:
    before = {"data": {"source": "x"}, "augment": {"preset": "none", "flip": 0.5, "crop": None}}
    recipe = Recipe.build(before)  # recipes of before wrote None where the preset decides
    assert (recipe.augment.flip, recipe.augment.crop, recipe.augment.hue) == (0.5, "centre", 0.0)
    strong = recipe.override("augment.preset=strong").augment
    assert (strong.flip, strong.crop, strong.erase) == (0.5, "random_resized", 0.25)
    assert recipe.to_dict()["augment"] == {"preset": "none", "flip": 0.5}
    whole = recipe.augment.resolved()
    assert set(whole.model_dump(mode="json")) == set(Augment.model_fields)
    assert Augment(**whole.model_dump(mode="json")) == whole == recipe.augment
