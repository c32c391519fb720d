from __future__ import annotations

import pytest
import torch
from torch import nn

from kinesphere.core import device
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting


def test_explicit_settings_are_taken_as_given() -> None:
    assert Compute.choose("cpu", "bf16", channels_last=False) == Compute("cpu", "bf16", False)


@pytest.mark.parametrize(
    ("flags", "precision"), [({"avx2"}, "fp32"), ({"avx512_bf16"}, "bf16"), ({"amx_bf16"}, "bf16")]
)
def test_cpu_precision_follows_the_instruction_set(
    flags: set[str], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "cpu_flags", lambda: frozenset(flags))
    device.fast_precision.cache_clear()
    try:
        assert device.fast_precision("cpu") == precision
    finally:
        device.fast_precision.cache_clear()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_an_absent_device_is_refused_not_replaced() -> None:
    with pytest.raises(InvalidSetting, match="no CUDA device is available; use 'cpu'"):
        Compute.choose("cuda")


def test_unknown_device_and_precision_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="Unknown device 'tpu'"):
        Compute.choose("tpu")
    with pytest.raises(InvalidSetting, match="Unknown precision 'int3'"):
        Compute.choose("cpu", "int3")  # type: ignore[arg-type]


def test_place_moves_convolution_weights_to_channels_last_without_changing_them() -> None:
    net = nn.Sequential(nn.Conv3d(4, 8, 3), nn.Conv2d(4, 8, 3), nn.Linear(8, 2))
    before = [weight.clone() for weight in net.parameters()]
    Compute("cpu", "fp32", True).place(net)
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert net[1].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_on_cuda_networks_with_depthwise_3d_convolutions_stay_contiguous(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nn.Module, "to", lambda net, device: net)
    for groups, moved in ((1, True), (2, True), (4, False)):
        net = nn.Sequential(nn.Conv3d(3, 4, 3), nn.Conv3d(4, 8, 3, groups=groups))
        Compute("cuda:0", "bf16", True).place(net)
        assert net[0].weight.is_contiguous(memory_format=torch.channels_last_3d) == moved


def test_autocast_is_off_for_fp32_and_on_for_bf16() -> None:
    a = torch.randn(4, 4)
    with Compute("cpu", "fp32", True).autocast():
        assert (a @ a).dtype == torch.float32
    with Compute("cpu", "bf16", True).autocast():
        assert (a @ a).dtype == torch.bfloat16


def test_cpu_count_is_positive() -> None:
    assert device.cpu_count() >= 1


def test_freed_memory_is_given_back_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    times_s, given = iter([0.0, 30.0, 60.5, 60.5, 100.0, 121.0, 121.0]), []
    monkeypatch.setattr(device, "give_back_freed_memory", lambda: given.append(True))
    spare = device.SpareMemory(60.0, lambda: next(times_s))
    spare.give_back()
    assert not given
    spare.give_back()
    assert len(given) == 1
    spare.give_back()
    spare.give_back()
    assert len(given) == 2
