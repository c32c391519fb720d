"""Conditions beside a cell's own test: changed clips, and clips without labels."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.apps.html.study_evaluations import evaluations_section, factor_sentence
from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.modality import MODALITIES
from kinesphere.core.errors import InvalidSetting
from kinesphere.data.sample import Sample
from kinesphere.models import card
from kinesphere.studies.condition_clips import clips_of, values_of
from kinesphere.studies.evaluation_settings import EvaluationSection
from kinesphere.studies.evaluations import Evaluated
from kinesphere.studies.expectations import histogram, measured, rules
from kinesphere.studies.factor_effects import factor_effect
from kinesphere.studies.perturbations import perturbation_of, without_effect
from kinesphere.train.recipe import Recipe

FRAMES = ClipSpec(Sampling.parse("8x1x1"), (16, 16))
JOINTS = card("stgcn_tiny").inputs[0]


def section(**asked: object) -> EvaluationSection:
    return EvaluationSection.model_validate({"name": "x", **asked})


def test_changes_of_time_hold_and_resample_frames() -> None:
    x = torch.arange(8.0).view(1, 1, 8, 1).expand(1, 1, 8, 3)
    specs = (FRAMES,)

    def seen(**asked: object) -> list[int]:
        change = perturbation_of(section(**asked), specs)
        assert change is not None
        return [int(each) for each in change((x,))[0][0, 0, :, 0]]

    assert seen(every=3) == [0, 0, 0, 3, 3, 3, 6, 6]
    assert seen(order="reversed") == [7, 6, 5, 4, 3, 2, 1, 0]
    assert seen(speed=2.0) == [0, 0, 0, 2, 4, 6, 7, 7]
    assert perturbation_of(section(), specs) is None


def test_noise_is_measured_by_the_data_and_compression_by_frames_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    frames = torch.full((1, 1, 8, 3, 16, 16), 128, dtype=torch.uint8)
    change = perturbation_of(section(noise=0.1), (FRAMES,))
    assert change is not None
    assert change((frames,))[0].float().std() == pytest.approx(25.5, rel=0.1)
    textured = torch.randint(0, 255, frames.shape, dtype=torch.uint8, generator=generator)
    coded = perturbation_of(section(compression=5), (FRAMES,))
    assert coded is not None
    after = coded((textured,))[0]
    assert (after.shape, after.dtype) == (textured.shape, torch.uint8)
    assert (after.float() - textured.float()).abs().mean() > 10
    assert (coded((frames,))[0].float() - 128).abs().max() <= 2
    joints = torch.rand(2, 1, 9, *MODALITIES.get(JOINTS.modality).shape(JOINTS), generator=generator)
    joints[..., 1] *= 50
    joints[0, :, :, :, 0, -1] = 0
    moved = perturbation_of(section(noise=0.1), (JOINTS,))
    assert moved is not None
    shift = moved((joints,))[0] - joints
    assert shift[..., -1].abs().max() == 0
    assert shift[0, :, :, :, 0].abs().max() == 0
    assert shift[1, ..., 0].std() == pytest.approx(5, rel=0.15)
    assert without_effect(section(compression=5), (JOINTS,)) == (
        "this model sees no frames that compression changes",
    )
    assert without_effect(section(noise=0.5, compression=5), (FRAMES,)) == ()


def test_expectations_are_met_by_recordings_not_by_windows() -> None:
    said = ["wave"] * 18 + ["fall"] * 2 + ["fall"] * 20
    groups = ["water"] * 20 + ["earth"] * 20
    many = [f"r{i // 2}" for i in range(40)]
    water, earth = rules({"water": ["wave"], "earth": ["fall"]}, said, groups, many, ["wave", "fall"])
    assert (water.fraction, water.elsewhere) == (0.9, 0.0)
    assert (water.is_met, earth.is_met) == (True, True)
    few = [f"r{i // 10}" for i in range(40)]  # two recordings of each
    assert not rules({"water": ["wave"]}, said, groups, few, ["wave", "fall"])[0].is_met
    assert histogram(said, groups) == {"earth": {"fall": 20}, "water": {"wave": 18, "fall": 2}}
    alone = rules({"water": ["wave"]}, said, ["water"] * 40, many, ["wave", "fall"])[0]
    assert (alone.elsewhere, alone.is_met) == (None, False)
    with pytest.raises(
        InvalidSetting, match=r"expect names the label 'wav', which is not there .did you mean wave"
    ):
        rules({"water": ["wav"]}, said, groups, many, ["wave", "fall"])
    with pytest.raises(InvalidSetting, match="expect names the group 'fire'"):
        rules({"fire": ["wave"]}, said, groups, many, ["wave", "fall"])


def test_one_recording_that_holds_several_groups_meets_nothing_by_itself() -> None:
    known = ["wave", "fall"]
    two = rules({"water": ["wave"]}, ["wave", "fall"], ["water", "earth"], ["r", "r"], known)[0]
    assert two.p == pytest.approx(0.5, abs=0.03)
    one = rules(
        {"water": ["wave"]}, ["wave"] * 5 + ["fall"] * 5, ["water"] * 5 + ["earth"] * 5, ["r"] * 10, known
    )[0]
    assert one.p == pytest.approx(1 / 252, abs=0.003)  # of 10 over 5 ways to divide it, one leads so far
    mixed = [f"r{i // 4}" for i in range(40)]
    none = rules(
        {"water": ["wave"]}, ["wave", "wave", "fall", "fall"] * 10, ["water", "earth"] * 20, mixed, known
    )[0]
    assert none.p is not None
    assert none.p > 0.5


def test_effects_cost_as_much_as_there_are_clips() -> None:
    said, size, people = ["a", "b"] * 600, ["x", "x", "y", "y"] * 300, [f"p{i // 4}" for i in range(1200)]
    began = time.process_time()
    for groups, within in ((people, True), ([None] * 1200, False)):
        found = factor_effect("size", size, said, groups)
        assert (found.within, found.association) == (within, 0)
        assert found.p > 0.5
    assert time.process_time() - began < 8


def test_a_factor_is_tested_within_groups_where_they_hold_several_values() -> None:
    rng = np.random.default_rng(0)
    size = ["narrow", "wide"] * 20
    people = [f"p{i // 4}" for i in range(40)]
    goes = factor_effect("kinesphere", size, ["arms" if each == "wide" else "feet" for each in size], people)
    assert (goes.association, goes.within) == (pytest.approx(1.0), True)
    assert goes.p < 0.01
    assert "goes with the answers" in factor_sentence(goes)
    said = list(rng.choice(["arms", "feet"], 40))
    none = factor_effect("kinesphere", size, said, people)
    assert none.p > 0.05
    assert "shows no effect" in factor_sentence(none)
    by_person = factor_effect("kinesphere", ["narrow"] * 20 + ["wide"] * 20, said, people)
    assert not by_person.within
    with pytest.raises(InvalidSetting, match="has the same value for all 40 clips"):
        factor_effect("kinesphere", ["wide"] * 40, said, people)
    shown = evaluations_section(
        [
            Evaluated("a", "elements", clips=40, counts=histogram(said, people), factor=none),
            Evaluated("b", "elements", problem="gone"),
        ]
    )
    assert "Cramér" in shown
    assert "b: not evaluated. gone" in shown
    assert evaluations_section([]) == ""


def test_a_factor_of_recordings_is_exchanged_with_all_their_windows() -> None:
    # Ten people with two recordings of ten windows; answers go with the recording and not with the factor.
    people = [f"p{i // 20}" for i in range(200)]
    files = [f"r{i // 10}" for i in range(200)]
    size = ["narrow" if (i // 10) % 2 else "wide" for i in range(200)]
    each = np.random.default_rng(1).choice(["arms", "feet"], 20)
    said = [str(each[i // 10]) for i in range(200)]
    alone = factor_effect("kinesphere", size, said, people)
    whole = factor_effect("kinesphere", size, said, people, files)
    assert (whole.within, whole.groups, whole.mixed) == (True, 10, 10)
    assert alone.p < 0.05 < whole.p  # windows alone find an effect of what recordings are
    bound = ["arms" if value == "wide" else "feet" for value in size]
    goes = factor_effect("kinesphere", size, bound, people, files)
    assert goes.p < 0.01
    assert "10 of 10 groups hold several values" in factor_sentence(goes)


def test_a_factor_of_clips_with_labels_is_told_apart_from_the_label() -> None:
    labels = ["wave", "swing"] * 60
    people = [f"p{i // 12}" for i in range(120)]
    # Waves are narrow more often, and whatever is shown is answered: the label explains all of it.
    rng = np.random.default_rng(0)
    often = [rng.random() < (0.8 if i % 2 == 0 else 0.2) for i in range(120)]
    size = ["narrow" if each else "wide" for each in often]
    assert factor_effect("kinesphere", size, labels, people).p < 0.01
    found = factor_effect("kinesphere", size, labels, people, labels=labels)
    assert (found.association, found.p) == (0, 1)
    assert found.right == {"narrow": 1.0, "wide": 1.0}
    missed = ["other" if often[i] and i % 3 else label for i, label in enumerate(labels)]
    worse = factor_effect("kinesphere", size, missed, people, labels=labels)
    assert worse.p < 0.01
    assert worse.right is not None
    assert worse.right["narrow"] < worse.right["wide"] == 1.0
    assert "Right of narrow" in factor_sentence(worse)
    by_label = ["wide" if each == "wave" else "narrow" for each in labels]
    with pytest.raises(InvalidSetting, match="has one value for each label, so its effect cannot be told"):
        factor_effect("kinesphere", by_label, labels, people, labels=labels)


def test_a_factor_is_told_within_parts_that_decide_the_answers() -> None:
    # Eleven people show each of three elements once; hands reach as far as the place of both says.
    files = [f"r{i}" for i in range(33) for _ in range(4)]
    people = [f"p{i % 11}" for i in range(33) for _ in range(4)]
    element = [("water", "fire", "air")[i // 11] for i in range(33) for _ in range(4)]
    reach = [("narrow", "middle", "wide")[(i % 11 + i // 11) % 3] for i in range(33) for _ in range(4)]
    none = factor_effect("kinesphere", reach, element, people, files, parts=element)
    assert (none.alike, none.within, none.mixed) == (True, False, 11)
    assert (none.association, none.p) == (0, 1)
    said = [
        "far" if r == "wide" and i % 4 else e for i, (r, e) in enumerate(zip(reach, element, strict=True))
    ]
    found = factor_effect("kinesphere", reach, said, people, files, parts=element)
    assert found.p < 0.01
    assert "between recordings that show the same" in factor_sentence(found)
    # Parts that have one value each are no parts: nothing could be told within them.
    assert factor_effect("kinesphere", reach, said, people, files, parts=files).p < 0.01


def test_what_is_known_to_be_shown_is_counted_by_recording() -> None:
    lists = [["jumps", "falls"], ["jumps", "falls"], ["jumps"], [""]]
    found = measured(lists, ["fire", "fire", "fire", "water"], ["r0", "r0", "r1", "r2"])
    assert {name: (each.met, each.recordings) for name, each in found["fire"].items()} == {
        "jumps": (2, 2),
        "falls": (1, 2),
    }
    assert found["water"] == {}


def test_conditions_that_say_nothing_are_refused() -> None:
    for wrong, message in (
        ({"window_s": 3.0}, "window_s are for data that are unlabelled: true"),
        ({"twins": True}, "twins are data with labels, which have to be named"),
        ({"data": "a.csv", "unlabelled": True, "stride_s": 2.0}, "stride_s is at most window_s"),
        ({"unlabelled": True}, "unlabelled data have to be named in data"),
    ):
        with pytest.raises(ValueError, match=message):
            section(**wrong)
    plain = section(noise=0.1).asked()
    assert "where" not in plain
    assert section(data="a.csv", twins=True).asked()["twins"] is True


def test_only_clips_with_the_values_asked_for_are_taken(tmp_path: Path) -> None:
    rows = ("path,parent,dimension", "a.npz,wave,kinesphere", "b.npz,walk,floor pattern")
    (tmp_path / "eval.csv").write_text("\n".join(rows) + "\n")
    for name in ("a.npz", "b.npz"):
        (tmp_path / name).write_bytes(b"")
    recipe = Recipe.build({"data": {"source": "x"}})

    def taken(**where: str) -> list[Sample]:
        asked = section(data="eval.csv", label_column="parent", where=where)
        return list(clips_of(tmp_path, recipe, asked, str(tmp_path)))

    found = taken(dimension="kinesphere")
    assert [sample.labels for sample in found] == [("wave",)]
    with pytest.raises(InvalidSetting, match=r"has kinesphre in its column 'dimension': it holds kinesphere"):
        taken(dimension="kinesphre")
    with pytest.raises(InvalidSetting, match="column 'size': there is no such column"):
        taken(size="big")
    with pytest.raises(InvalidSetting, match="give no 'size' for 1 of 1 clips"):
        values_of(found, "size")
