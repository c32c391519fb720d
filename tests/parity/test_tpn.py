from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.real
def test_public_state_gives_public_logits(check_parity):
    check_parity("mmaction2_tpn_slowonly_r50", "tpn_slowonly_resnet50", layout="mmaction2")
