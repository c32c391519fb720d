from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from kinesphere.core.bf16_convolution import sound_convolutions
from kinesphere.models import create_model, load_model, save_model
from kinesphere.models.runtime.activation_checkpointing import checkpoint_activations

LABELS = ("a", "b", "c")


class Unit(nn.Module):
    """Two convolutions with batch norm and dropout between them; counts how often it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm3d(4)
        self.dropout = nn.Dropout(0.5)
        self.conv2 = nn.Conv3d(4, 4, 3, (2, 1, 1), padding=1)
        self.runs = 0

    def forward(self, x: Tensor, *, scale: float = 1.0) -> Tensor:
        self.runs += 1
        out: Tensor = scale * self.conv2(self.dropout(self.norm(self.conv1(x)).relu()))
        return out


def held(net: nn.Module, x: Tensor) -> tuple[int, Tensor]:
    """Bytes that autograd holds after the forward pass, and the output."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = net(x)
    return sum(storages.values()), out


def gradients(net: nn.Module, x: Tensor, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype, enabled=dtype is not None), sound_convolutions("cpu"):
        loss = net(x).float().square().mean()
    loss.backward()
    return {key: p.grad for key, p in net.named_parameters() if p.grad is not None}


def twins(momentum: float | None = 0.1) -> tuple[nn.Sequential, nn.Sequential]:
    torch.manual_seed(0)
    plain = nn.Sequential(Unit(), Unit())
    for unit in plain:
        unit.norm.momentum = momentum
    again = copy.deepcopy(plain)
    checkpoint_activations(again)
    return plain, again


def test_each_block_runs_twice_in_training_and_once_in_evaluation():
    _, net = twins()
    x = torch.randn(2, 4, 4, 6, 6)
    gradients(net, x)
    assert [unit.runs for unit in net] == [2, 2]
    net.eval()(x)
    with torch.no_grad():
        net.train()(x)
    assert [unit.runs for unit in net] == [4, 4]
    checkpoint_activations(net)  # asking twice changes nothing
    gradients(net, x)
    assert [unit.runs for unit in net] == [6, 6]


def test_only_the_inputs_of_blocks_are_held():
    plain, again = twins()
    x = torch.randn(2, 4, 8, 16, 16)
    assert held(again, x)[0] < 0.5 * held(plain, x)[0]


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_count_a_batch_once(momentum):
    plain, again = twins(momentum)
    for _ in range(2):
        x = torch.randn(2, 4, 4, 6, 6)
        gradients(plain, x)
        gradients(again, x)
    for (key, one), (_, other) in zip(plain.named_buffers(), again.named_buffers(), strict=True):
        assert torch.equal(one, other), key
    assert again[0].norm.num_batches_tracked == 2


def test_frozen_statistics_stay_in_use():
    plain, again = twins()
    x = torch.randn(2, 4, 4, 6, 6)
    for net in (plain, again):
        net[0].norm.eval()
        net[0].norm.running_mean.fill_(0.5)
    expected, found = gradients(plain, x), gradients(again, x)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert again[0].norm.running_mean.eq(0.5).all()


def test_bf16_convolutions_are_rewritten_the_second_time_too():
    plain, again = twins()
    x = torch.randn(2, 4, 2, 6, 6)  # fewer frames than the kernel is deep
    expected, found = (gradients(net, x, torch.bfloat16) for net in (plain, again))
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_stage_of_single_layers_is_one_segment():
    stage = nn.Sequential(nn.Conv3d(4, 4, 1), nn.BatchNorm3d(4), nn.ReLU())
    checkpoint_activations(stage)
    assert type(stage).__name__ == "RecomputedSequential"
    assert isinstance(stage, nn.Sequential)
    assert type(stage[0]) is nn.Conv3d


def test_keywords_reach_the_block():
    unit = Unit().eval()
    x = torch.randn(1, 4, 2, 4, 4)
    once = unit(x, scale=2.0)
    checkpoint_activations(unit)
    assert torch.equal(unit(x, scale=2.0), once)
    unit.train()(x, scale=2.0).sum().backward()
    assert unit.conv1.weight.grad is not None


def test_copies_compute_with_their_own_weights():
    _, net = twins()
    other = copy.deepcopy(net)
    other(torch.randn(2, 4, 4, 6, 6)).sum().backward()
    assert all(p.grad is None for p in net.parameters())
    assert all(p.grad is not None for p in other.parameters())


def test_a_recogniser_keeps_its_names_and_files(tmp_path):
    recogniser = create_model("r3d_tiny", LABELS)
    names = list(recogniser.state_dict())
    recogniser.checkpoint_activations()
    assert list(recogniser.state_dict()) == names
    x = torch.randn(1, 4, 3, 32, 32)
    save_model(recogniser, tmp_path / "model.safetensors")
    with torch.inference_mode():
        assert torch.equal(load_model(tmp_path / "model.safetensors")(x), recogniser.eval()(x))
