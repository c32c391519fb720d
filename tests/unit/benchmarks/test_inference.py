from __future__ import annotations

import pytest
import torch
from benchmarks.inference import Latency, compare, goals, openvino

from kinesphere.models import create_model


def test_ratios_and_goals_name_the_slowest_network():
    fast = Latency("r3d_18", None, "8×8×8", {"fp32": 1.0, "OpenVINO fp32": 2.0}, {"fp32": 1e-6})
    slow = Latency("kine_small", None, "8×8×8", {"fp32": 2.0, "OpenVINO fp32": 1.0}, {"fp32": 1e-6})
    assert slow.row()["ratio to OpenVINO fp32"] == "0.500"
    assert slow.row()["ratio fp32"] == slow.row()["OpenVINO bf16, ms"] == ""
    lines = goals([fast, slow], native_bf16=True)
    wanted = "fp32, speed over OpenVINO, slowest of 2 convolutional and tiny networks (kine_small): 0.500x"
    assert any(line.startswith(wanted) and line.endswith("missed") for line in lines)


def test_a_model_without_a_reference_is_compared_with_its_plain_network():
    latency = compare("kine_tiny", None, batch=1, rounds=1, budget_s=0, bf16=False, with_openvino=False)
    assert latency.differences["fp32"] < 1e-5
    assert latency.clip == "8×32×32"


def test_openvino_gives_the_same_logits():
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    recogniser = create_model("videomae_tiny", ["a", "b"]).eval()
    clip = torch.randn(1, 4, 3, 32, 32)
    with torch.inference_mode():
        wanted = recogniser(clip)
        run = openvino(recogniser.net, (clip,), bf16=False)["OpenVINO fp32"]
    assert (run() - wanted).abs().max() < 1e-4 * wanted.abs().max()
