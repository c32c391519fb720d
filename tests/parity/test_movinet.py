from __future__ import annotations

import pytest


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model"),
    [
        ("movinet_a0_base", "movinet_a0"),
        ("movinet_a0_base_64", "movinet_a0"),
        ("movinet_a1_base", "movinet_a1"),
        ("movinet_a0_stream", "movinet_a0_stream"),
        ("movinet_a2_stream", "movinet_a2_stream"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model):
    check_parity(fixture, model, layout="movinet_pytorch")
