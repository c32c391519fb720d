"""Contributions of the models of a fusion, and of the inputs of one network."""

from __future__ import annotations

import pytest
import torch
from examples import example, scored_and_clips

from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.explain.streams import fused_contributions, input_contributions
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
