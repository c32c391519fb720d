"""The copy that inference runs gives the plain network's logits, for every model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from kinesphere.core.device import Compute
from kinesphere.models import Recogniser, card, create_model, list_models
from kinesphere.models.runtime.inference import optimise_for_inference, prepared_stream
from kinesphere.models.runtime.measure import input_shape

FP32, BF16 = (Compute("cpu", precision, channels_last=True) for precision in ("fp32", "bf16"))
PLAIN = Compute("cpu", "fp32", channels_last=False)


def settled(name: str) -> Recogniser:
    """A recogniser whose batch norms have met data."""
    torch.manual_seed(0)
    recogniser = create_model(name, ["a", "b", "c"])
    for module in recogniser.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.25, 0.75)
    return recogniser.eval()


def batches(recogniser: Recogniser) -> Iterator[tuple[Tensor, ...]]:
    """Batches of 3 and 1, and a wider one, for networks that take it."""
    shapes = [input_shape(spec, batch=3) for spec in recogniser.specs]
    yield tuple(torch.randn(shape) for shape in shapes)
    yield tuple(torch.randn(1, *shape[1:]) for shape in shapes)
    if all(spec.modality in ("rgb", "flow") for spec in recogniser.specs):
        wider = tuple(torch.randn(*shape[:-1], 2 * shape[-1]) for shape in shapes)
        try:
            recogniser(*wider)
        except (RuntimeError, ValueError):  # made for one size
            return
        yield wider


def each_number_of_threads() -> Iterator[int]:
    """One thread and several; afterwards as many as before."""
    before = torch.get_num_threads()
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            yield threads
    finally:
        torch.set_num_threads(before)


def off(logits: Tensor, wanted: Tensor) -> float:
    return float((logits.float() - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("name", [name for name in list_models(tiny=True) if card(name).streaming])
@torch.inference_mode()
def test_steps_of_streams_without_a_norm_or_activation_of_their_own(name: str) -> None:
    net = settled(name).net
    frames = torch.rand(2, 8, *input_shape(card(name).inputs[0])[2:])
    size = (frames.shape[-2], frames.shape[-1])
    found = []
    for each in (net, prepared_stream(net, FP32)):
        state, steps = net.stream_init(2, size), []
        for part in frames.split((4, 3, 1), 1):
            step, state = each.stream_features(part, state)
            steps.append(step)
        found.append(torch.cat(steps, 1))
    assert off(found[1], found[0]) < 1e-5
    kinds = {type(module) for module in prepared_stream(net, FP32).modules()}
    assert not kinds & {nn.BatchNorm2d, nn.BatchNorm3d, nn.Conv2d}


@pytest.mark.parametrize("name", list_models(tiny=True))
@torch.inference_mode()
def test_logits_of_every_model(name: str) -> None:
    recogniser = settled(name)
    exact, plain = (optimise_for_inference(recogniser, compute) for compute in (FP32, PLAIN))
    for batch in batches(recogniser):
        wanted = recogniser(*batch)
        assert off(plain(*batch), wanted) < 1e-5
        assert torch.equal(recogniser(*batch), wanted)  # the recogniser itself stays as it is
        for _ in each_number_of_threads():
            assert off(exact(*batch), wanted) < 1e-5


@pytest.mark.slow  # processors without bf16 take ten times as long
@pytest.mark.parametrize("name", list_models(tiny=True))
@torch.inference_mode()
def test_rounded_logits_of_every_model(name: str) -> None:
    recogniser = settled(name)
    rounded = optimise_for_inference(recogniser, BF16)
    for batch in batches(recogniser):
        wanted = recogniser(*batch)
        with BF16.autocast():
            allowed = max(0.02, 3 * off(recogniser(*batch), wanted))
            for _ in each_number_of_threads():
                assert off(rounded(*batch), wanted) < allowed
