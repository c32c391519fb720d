from __future__ import annotations

import pytest


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("pyskl_dgstgcn_ntu60_3d", "dgstgcn", "pyskl"),
        ("pyskl_dgstgcn_ntu60_3d_gain05", "dgstgcn", "pyskl"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)
