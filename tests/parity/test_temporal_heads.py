from __future__ import annotations

import pytest


@pytest.mark.real
@pytest.mark.parametrize("family", ["tin", "trn", "tanet"])
def test_public_state_gives_public_logits(check_parity, family):
    check_parity(f"mmaction2_{family}_r50", f"{family}_resnet50", layout="mmaction2")
