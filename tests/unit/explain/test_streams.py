"""Contributions of the models of a fusion, and of the inputs of one network."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from examples import example, scored_and_clips
from PIL import Image

from kinesphere.clips import ClipSpec, Sampling
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.explain.attribution import Attribution, InputHeat
from kinesphere.explain.explaining import Question, explain
from kinesphere.explain.render.drawing import scale_of
from kinesphere.explain.render.sheet import sheet
from kinesphere.explain.store import read_attribution, write_attribution
from kinesphere.explain.streams import (
    StreamContribution,
    fused_contributions,
    input_contributions,
    input_names,
)
from kinesphere.explain.target import Target
from kinesphere.models import create_model
from kinesphere.predict import FusedPredictor, Predictor


def fused(weights: tuple[float, ...]) -> FusedPredictor:
    torch.manual_seed(0)
    fp32 = Compute("cpu", "fp32", True)
    orders = (("hop", "skip", "wave"), ("wave", "hop", "skip"), ("skip", "wave", "hop"))
    models = ("kine_tiny", "cnn_lstm_tiny", "tsn_tiny")
    members = [
        Predictor(create_model(name, LabelSet(labels)), fp32, optimise=False)
        for name, labels in zip(models, orders, strict=False)
    ]
    return FusedPredictor(members[: len(weights)], weights)


def test_contributions_of_fused_models_are_exact():
    predictor = fused((3, 1, 2))
    clips = [torch.randint(0, 256, example(spec, 1)[:, None].shape).byte() for spec in predictor.specs]
    together = predictor.probabilities(clips)[0]
    for target in (Target(1), Target(1, 0)):
        found = fused_contributions(predictor, clips, target)
        expected = float(target.of(together[None]))
        assert sum(each.contribution for each in found) == pytest.approx(expected, abs=1e-6)
        assert sum(each.fraction for each in found) == pytest.approx(1)
        assert [each.name for each in found] == [member.name for member in predictor.members]
    without = fused((3, 1))
    alone = float(without.probabilities([clips[predictor.specs.index(spec)] for spec in without.specs])[0, 1])
    assert fused_contributions(predictor, clips, Target(1))[2].without == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize("model", ["two_stream_i3d_tiny", "rgbpose_conv3d_tiny"])
def test_contributions_of_two_inputs_are_shapley_values_by_hand(model):
    scored, (a, b) = scored_and_clips(model, batch=1)
    with torch.no_grad():
        both, first, second, none = (
            float(scored(x, y)) for x, y in ((a, b), (a, 0 * b), (0 * a, b), (0 * a, 0 * b))
        )
    found = input_contributions(scored, (a, b))
    assert found[0].contribution == pytest.approx((first - none + both - second) / 2, abs=1e-5)
    assert found[1].contribution == pytest.approx((second - none + both - first) / 2, abs=1e-5)
    assert [each.without for each in found] == pytest.approx([second, first], abs=1e-5)
    assert found[0].total == pytest.approx(both - none, abs=1e-5)
    assert [each.name for each in found] == [spec.modality for spec in scored.recogniser.specs]


def test_one_input_has_no_streams():
    scored, clips = scored_and_clips("kine_tiny", batch=1)
    with pytest.raises(
        InvalidSetting, match="kine_tiny has one input, which is all that its answer rests on"
    ):
        input_contributions(scored, clips)


def test_members_of_one_name_keep_heat_and_contributions_of_their_own(make_video, tmp_path):
    video = make_video(tmp_path / "walk.mp4", frames=24)
    torch.manual_seed(0)
    fp32 = Compute("cpu", "fp32", True)
    members = [
        Predictor(create_model("kine_tiny", LabelSet(("hop", "skip"))), fp32, optimise=False)
        for _ in range(2)
    ]
    found = explain(FusedPredictor(members), video, Question("gradcam", "hop"))
    names = (members[0].name, f"{members[0].name}-2")
    assert tuple(each.name for each in found.streams) == names
    assert [model for model, _ in found.inputs] == list(names)
    assert not np.array_equal(*(heat.values for heat in found.heats))
    assert [heat.method for heat in found.heats] == ["gradcam", "gradcam"]
    assert sum(each.contribution for each in found.streams) == pytest.approx(found.probability, abs=1e-5)
    write_attribution(tmp_path / "a.heat.npz", found)
    assert read_attribution(tmp_path / "a.heat.npz").streams == found.streams
    assert Image.open(io.BytesIO(sheet([found], video, frames=3))).size[0] == 1280


def test_inputs_of_one_modality_have_names_of_their_own():
    spec = ClipSpec(Sampling.parse("8x1x1"), (32, 32))
    slow = spec.with_(sampling=Sampling.parse("4x2x1"))
    assert input_names([spec, slow]) == ["rgb 8x1x1", "rgb 4x2x1"]
    assert input_names([spec, spec.with_(size=(48, 48))]) == ["rgb 8x1x1", "rgb 8x1x1-2"]
    assert input_names([spec]) == ["rgb"]
    heats = tuple(
        InputHeat("m", each, 0, np.arange(3.0), np.full((3, 2, 2), value, np.float32), 1.0)
        for each, value in ((spec, 1.0), (slow, 2.0))
    )
    found = Attribution("a", (2, 2), (0.0, 3.0), "x", "hop", None, 1.0, 1.0, ("hop", 1.0), heats)
    assert {name: curve.tolist() for name, curve in found.over_time([1.0]).items()} == {
        "rgb 8x1x1": [1.0], "rgb 4x2x1": [2.0],
    }  # fmt: skip


def test_what_a_stream_adds_is_told_in_words():
    rgb = StreamContribution("rgb", 1.5, 0.5, 2.0, "score", "net")
    assert rgb.sentence() == (
        "rgb adds 1.5 of the score above that of empty inputs, 2 (75 %); without it the score is 0.5"
    )
    alone = StreamContribution("a", 0.9, None, 0.9, "probability")
    assert alone.sentence() == "a adds 0.9 of the probability, 0.9 (100 %)"
    assert StreamContribution("a", 0.0, 0.0, 0.0, "probability").to_json()["fraction"] is None


def test_each_model_of_a_fusion_is_drawn_as_its_own_method_says():
    spec, pose = ClipSpec(Sampling.parse("3x1x1"), (2, 2)), ClipSpec(Sampling.parse("3x1x1"), (4, 4))
    cam, sums = (np.full((3, 2, 2), value, np.float32) for value in (1.0, -1.0))
    heats = (
        InputHeat("a", spec, 0, np.arange(3.0), cam, 1.0, method="gradcam"),
        InputHeat("b", pose, 0, np.arange(3.0), sums, 1.0, method="occlusion", signed=True, sums_up=True),
    )
    answer = ("hop", 1.0)
    found = Attribution(
        "a", (2, 2), (0.0, 3.0), "gradcam + occlusion", "hop", None, 1.0, 1.0, answer, heats, True, 0.0
    )
    assert [scale_of(found, *each).name for each in found.inputs] == ["inferno", "RdBu_r"]
    assert [found.method_of(*each) for each in found.inputs] == ["gradcam", "occlusion"]
    assert [curve.tolist() for curve in found.over_time([1.0]).values()] == [[1.0], [-4.0]]
