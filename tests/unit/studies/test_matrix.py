"""The cells of a study: combinations, what is left out and added, chains, draws, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.studies.drawing import drawn
from kinesphere.studies.matrix import Study, results_of
from kinesphere.studies.running import order_of
from kinesphere.studies.study_recipe import SearchSection, StudyRecipe

MODEL = {"name": "a", "model.name": "fc_tiny"}
WRITTEN = """
name: starts
base:
  data: {source: clips.csv, val: 0.2}
  train: {epochs: 2}
matrix:
  model:
    - {name: small, model.name: fc_tiny}
    - {name: poses, model.name: stgcn_tiny}
  start:
    - {name: scratch, model.pretrained: null}
    - {name: base, model.pretrained: "cell:{model}-on-base"}
  optimizer.lr: [0.1, 0.01]
seeds: [0, 3]
exclude:
  - {model: poses, optimizer.lr: 0.1}
include:
  - {name: "{model}-on-base", model: [small, poses], data.source: base.csv, data: {label_column: movement}}
"""


def planned(**changes: Any) -> Study:
    content = {
        "name": "s", "base": {"data": {"source": "clips.csv"}},
        "matrix": {"model": [MODEL, {"name": "b", "model.name": "kine_tiny"}]},
    }  # fmt: skip
    return Study.plan(StudyRecipe.build({**content, **changes}))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    path = tmp_path_factory.mktemp("study") / "starts.yaml"
    path.write_text(WRITTEN)
    return Study.plan(
        StudyRecipe.load(path, ["root=/data", "train.batch_size=4", f"out={path.parent / 'out'}"])
    )


def test_every_combination_is_a_cell_but_for_what_is_excluded_and_with_what_is_included(study: Study) -> None:
    names = [cell.name for cell in study.cells]
    assert names == [
        "small-scratch-0.1", "small-scratch-0.01", "small-base-0.1", "small-base-0.01",
        "poses-scratch-0.01", "poses-base-0.01", "small-on-base", "poses-on-base",
    ]  # fmt: skip
    lr = {cell.name: cell.recipe.optimizer.lr for cell in study.cells}
    assert (lr["small-scratch-0.1"], lr["poses-base-0.01"], lr["small-on-base"]) == (0.1, 0.01, 0.001)
    last = study.cells[-1].recipe
    assert (last.data.source, last.data.label_column, last.data.val) == (("/data/base.csv",), "movement", 0.2)
    assert (last.model.name, last.train.epochs, last.train.batch_size) == ("stgcn_tiny", 2, 4)


def test_a_cell_starts_from_the_run_of_another_with_the_same_seed(study: Study) -> None:
    assert study.levels[0][-2:] == ("small-on-base", "poses-on-base")
    assert study.levels[1] == ("small-base-0.1", "small-base-0.01", "poses-base-0.01")
    run = next(run for run in study.runs(study.of("poses-base-0.01")) if run.seed == 3)
    order = order_of(study, run)
    assert order.recipe.model.pretrained == str(study.folder / "cells" / "poses-on-base" / "seed-3")
    assert (order.recipe.train.seed, Path(str(order.recipe.out))) == (3, run.folder)
    assert order.settings()["model"]["pretrained"] == "cell:poses-on-base"


def test_a_base_may_be_a_recipe_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("data: {source: a.csv}\ntrain: {seed: 5, epochs: 7}\nout: elsewhere\n")
    (tmp_path / "study.yaml").write_text("name: s\nbase: one.yaml\nmatrix: {optimizer.lr: [0.1]}\n")
    (cell,) = Study.plan(StudyRecipe.load(tmp_path / "study.yaml")).cells
    assert (cell.recipe.train.epochs, cell.recipe.train.seed, cell.recipe.out) == (7, 0, None)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"matrx": {}}, "there is no setting 'matrx' .did you mean matrix"),
        ({"search": {"drow": "grid", "settings": {"a": [1]}}}, "did you mean search.draw"),
        ({"seeds": [1, 1]}, "each seed counts once"),
        ({"matrix": {"model": [{"model.name": "x"}]}}, "A setting of matrix.model has no name"),
        ({"matrix": {"model": ["fc_tiny"]}}, "only an axis that is named as a setting"),
        ({"matrix": {"model": []}}, "matrix.model has no settings"),
        ({"matrix": {"model": [MODEL, MODEL]}}, "two settings of the name 'a'"),
        ({"matrix": {"model": [{"name": "a/b"}]}}, "a name begins with a letter or digit"),
        ({"matrix": {"m": [{"name": "a", "optimiser.lr": 1}]}}, "did you mean optimizer"),
        (
            {"matrix": {"m": [{"name": "a", "train.seed": 1}]}},
            "train.seed is set by the study itself; see its seeds",
        ),
        ({"matrix": {"m": [{"name": "a", "data.source.x": 1}]}}, "'source' is a value, not a section"),
        ({"exclude": [{"modle": "a"}]}, "there is no 'modle' .did you mean model"),
        ({"exclude": [{"model": "aa"}]}, "there is no 'aa'"),
        ({"exclude": [{"model": ["a", "b"]}]}, "exclude leaves none"),
        ({"include": [{"model": "a"}]}, "entry 1 has no name"),
        ({"include": [{"name": "a"}]}, "these occur again: a"),
        ({"include": [{"name": "c", "model.pretrained": "cell:aa"}]}, "model.pretrained: there is no 'aa'"),
        ({"include": [{"name": "c", "model.pretrained": "cell:c"}]}, "in a circle: c <- c"),
        ({"compare": [["a", "c"]]}, "In compare: there is no 'c'"),
        (
            {"search": {"draw": "grid", "number": 3, "settings": {"optimizer.lr": [1]}}},
            "number is for random",
        ),
        (
            {"search": {"draw": "grid", "settings": {"optimizer.lr": {"low": 1, "high": 2}}}},
            "is a list of values",
        ),
        ({"search": {"settings": {"optimizer.lr": {"low": 2, "high": 1}}}}, "from low to a larger high"),
        (
            {"search": {"settings": {"optimizer.lr": {"low": 1, "hgh": 1}}}},
            "takes low, high, log and integer",
        ),
        (
            {"search": {"draw": "grid", "settings": {"a.b": [0] * 101, "a.c": [0] * 100}}},
            "has 10100 combinations",
        ),
        (
            {"matrix": {f"a{i}": [{"name": f"v{k}"} for k in range(10)] for i in range(12)}},
            "has 1000000000000 combinations: more than the 20000 runs",
        ),
        ({"seeds": list(range(20_001))}, "20001 seeds: more than the 20000 runs"),
        ({"search": {"number": 10**9, "settings": {"optimizer.lr": [1]}}}, "at most 10000 are drawn"),
        ({"search": {"settings": {"optimizer.lr": {"low": 0, "high": 1e300}}}}, "from low to a larger high"),
        (
            {"search": {"settings": {"optimizer.lr": {"low": 0, "high": 10**400}}}},
            "from low to a larger high",
        ),
        ({"matrix": {"m": [{"name": "a" * 201}]}}, "a name has up to 200 bytes"),
        ({"evaluate": [{"name": "x\ny"}]}, "a name is some text without slashes, of up to 200 bytes"),
        ({"evaluate": [{"name": "x" * 201}]}, "a name is some text without slashes, of up to 200 bytes"),
        ({"evaluate": [{"name": "x", "unlabelled": True}]}, "unlabelled data have to be named"),
        ({"evaluate": [{"name": "x", "window_s": 3.0}]}, "are for data that are unlabelled"),
        ({"evaluate": [{"name": "x"}, {"name": "x"}]}, "names of its own"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_near(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSetting, match=says):
        planned(**changes)


@pytest.mark.parametrize(
    ("text", "words", "says"),
    [
        (None, (), "There is no study at"),
        ("- 1\n", (), "is no study: it holds no keys"),
        ("data: {source: a}\n", (), "is a recipe of one training; `kinesphere train"),
        ("name: s\nbase: nowhere.yaml\nmatrix: {}\n", (), "base names 'nowhere.yaml'"),
        ("name: s\nbase: list.yaml\nmatrix: {}\n", (), "is not a recipe"),
        ("name: s\nmatrix: {}\n", ("seed=1",), "did you mean seeds"),
        ("name: s\nmatrix: {}\n", ("seeds",), "write name=value"),
    ],
)
def test_files_and_words_that_are_no_study_are_refused(
    tmp_path: Path, text: str | None, words: tuple[str, ...], says: str
) -> None:
    path = tmp_path / "study.yaml"
    (tmp_path / "list.yaml").write_text("[1]")
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidSetting, match=says):
        StudyRecipe.load(path, words)


def test_draws_are_the_same_whenever_they_are_made_and_leave_the_test_closed() -> None:
    search = {"number": 6, "settings": {"optimizer.lr": {"low": 1e-4, "high": 0.1, "log": True},
                                        "train.batch_size": {"low": 2, "high": 9, "integer": True},
                                        "optimizer.name": ["sgd", "adam"]}}  # fmt: skip
    study = planned(search=search)
    assert [str(a.draw) for a in study.of("a")] == [str(b.draw) for b in study.of("b")]
    assert [cell.name for cell in study.of("a")] == [f"a-draw0{i}" for i in range(1, 7)]
    assert study.names == ("a", "b")
    for cell in study.cells:
        assert not cell.recipe.test.open
        assert 1e-4 <= cell.recipe.optimizer.lr <= 0.1
        assert 2 <= cell.recipe.train.batch_size <= 9
    grid = SearchSection(draw="grid", settings={"a.b": [1, 2], "a.c": [3, 4, 5]})
    assert len(drawn(grid)) == 6


JOINT = {"joint.sets": {"one": {"source": "one.csv"}, "two": {"source": "two.csv"}}}


def test_cells_of_joint_training_are_known_by_their_data_sets() -> None:
    cells = [{"name": "alone", "data.source": "one.csv"}, {"name": "both", **JOINT}]
    study = planned(matrix={}, include=cells, root="/data", compare=[["alone", "both/one"]])
    alone, both = study.cells
    assert (results_of(alone), results_of(both)) == (("alone",), ("both/one", "both/two"))
    assert both.recipe.data.source == ("/data/one.csv", "/data/two.csv")
    assert [each.source for each in both.recipe.joint.sets.values()] == [
        ("/data/one.csv",), ("/data/two.csv",),
    ]  # fmt: skip
    with pytest.raises(InvalidSetting, match=r"both/tow.*did you mean both/two"):
        planned(matrix={}, include=cells, compare=[["alone", "both/tow"]])
    with pytest.raises(InvalidSetting, match="each with a test of its own, which evaluate does not know"):
        planned(matrix={}, include=cells, evaluate=[{"name": "noise", "noise": 0.1}])
    with pytest.raises(InvalidSetting, match="each with a test of its own, which search does not know"):
        planned(matrix={}, include=cells, search={"settings": {"optimizer.lr": [0.1, 0.2]}, "draw": "grid"})
    begun = {"name": "after", "data.source": "one.csv", "model.pretrained": "cell:both"}
    with pytest.raises(InvalidSetting, match=r"after starts from both, .*model.pretrained: RUN/sets/NAME"):
        planned(matrix={}, include=[*cells, begun])


@pytest.mark.parametrize(("name", "cells"), [("sampling", 11), ("joint", 4), ("label_budget", None)])
def test_the_ready_recipes_are_studies(name: str, cells: int | None) -> None:
    study = Study.plan(StudyRecipe.load(Path(__file__).parents[3] / "recipes" / "studies" / f"{name}.yaml"))
    assert cells in (len(study.cells), None)
    if name == "sampling":
        samplings = {str(cell.recipe.clip.sampling) for cell in study.cells}
        assert samplings == {"uniform5", "16x1x1", "32x1x1", "48x1x1", "54x1x1", "64x1x1"}
        assert {cell.recipe.model.arguments["dropout"] for cell in study.cells} == {0, 0.2, 0.4, 0.6, 0.8}
