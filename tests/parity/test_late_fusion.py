from __future__ import annotations

import pytest


@pytest.mark.real
@pytest.mark.parametrize("depth", [50, 152])
def test_public_state_gives_public_logits(check_parity, depth):
    check_parity(f"torchvision_resnet{depth}", f"late_fusion_resnet{depth}", layout="torchvision")
