from __future__ import annotations

import pytest


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("mmaction2_ipcsn_r152", "ip_csn_152", "mmaction2"),
        ("mmaction2_ircsn_r50", "ir_csn_50", "mmaction2"),
        pytest.param("pytorchvideo_csn_r101", "ir_csn_101", "pytorchvideo", marks=pytest.mark.slow),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)
