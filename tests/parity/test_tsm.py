from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model"),
    [
        ("mmaction2_tsm_r50_8f", "tsm_resnet50"),
        ("mmaction2_tsm_mobilenetv2", "tsm_mobilenetv2"),
        ("mmaction2_tsm_r50_nl_embedded_gaussian_gain05", "tsm_resnet50_nl"),
        ("mmaction2_tsm_r50_nl_gaussian_gain05", "tsm_resnet50_nl_gaussian"),
        ("mmaction2_tsm_r50_nl_dot_product_gain05", "tsm_resnet50_nl_dot_product"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model):
    check_parity(fixture, model, layout="mmaction2")


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model"),
    [
        ("tsm_mithan_tsm_r50", "tsm_resnet50"),
        ("tsm_mithan_tsm_r50_nl_gain05", "tsm_resnet50_nl"),
        ("tsm_mithan_tsm_mobilenetv2", "tsm_mobilenetv2"),
    ],
)
def test_state_of_the_authors_gives_their_logits(check_parity, fixture, model):
    check_parity(fixture, model, layout="mit_han_lab", inputs=lambda x: (x.unflatten(1, (-1, 3)),))


@pytest.mark.real
def test_saturated_attention_agrees_in_double_precision(check_parity):
    """At gain 1 affinities are in the thousands: in float32 the number of threads decides who wins them."""
    check_parity(
        "tsm_mithan_tsm_r50_nl",
        "tsm_resnet50_nl",
        layout="mit_han_lab",
        run=lambda net, x: net.double()(x.double().unflatten(1, (-1, 3))),
    )
