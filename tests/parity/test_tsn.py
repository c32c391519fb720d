from __future__ import annotations

import pytest


@pytest.mark.real
def test_public_rgb_state_gives_public_logits(check_parity):
    check_parity("mmaction2_tsn_r50", "tsn_resnet50", layout="mmaction2")


@pytest.mark.real
def test_public_flow_state_gives_public_logits(check_parity):
    check_parity(
        "mmaction2_tsn_r50_flow",
        "tsn_resnet50_flow",
        layout="mmaction2",
        inputs=lambda x: (x.unflatten(2, (5, 2)).flatten(1, 2),),
    )


@pytest.mark.real
def test_state_of_the_shift_authors_gives_their_logits(check_parity):
    check_parity(
        "tsm_mithan_tsn_r50",
        "tsn_resnet50",
        layout="mit_han_lab",
        inputs=lambda x: (x.unflatten(1, (-1, 3)),),
    )
