from __future__ import annotations

import pytest


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("pyskl_ctrgcn_ntu60_hrnet", "ctrgcn", "pyskl"),
        ("pyskl_ctrgcn_ntu60_hrnet_gain05", "ctrgcn", "pyskl"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)
