"""Gradient methods: what they compute, what they refuse, and that they leave networks as they were."""

from __future__ import annotations

import builtins
import copy

import pytest
import torch
from examples import recogniser_and_clips, scored_and_clips
from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting, MissingExtra
from kinesphere.explain.activations import FUNCTIONAL, activations
from kinesphere.explain.method import METHODS, Settings
from kinesphere.explain.neutral import at_rest, baselines
from kinesphere.explain.target import Scored, Target

FEW = Settings(steps=8, samples=3, batch=4)
GRADIENTS = ("frame_gradient", "gradient_x_input", "integrated_gradients", "smoothgrad", "guided_backprop")


def heat_of(method: str, scored: Scored, clips: tuple[Tensor, ...], settings: Settings = FEW) -> Tensor:
    (heat,) = METHODS.get(method).heat(scored, clips, settings)
    assert heat is not None
    return heat


@pytest.mark.parametrize("model", ["kine_tiny", "cnn_lstm_tiny", "videomae_tiny", "stgcn_tiny"])
def test_integrated_gradients_sum_to_the_logit_difference_within_a_hundredth(model):
    scored, clips = scored_and_clips(model)
    heat = heat_of("integrated_gradients", scored, clips, Settings(batch=32))
    with torch.no_grad():
        difference = scored(*clips) - scored(*baselines(clips, scored.recogniser.specs))
    torch.testing.assert_close(heat.flatten(1).sum(1), difference, rtol=0.01, atol=0)


def test_integrated_gradients_take_more_points_where_their_sum_misses():
    scored, clips = scored_and_clips("dd_net_tiny", batch=1)
    with torch.no_grad():
        difference = float(scored(*clips) - scored(*baselines(clips, scored.recogniser.specs)))
    missed = [
        abs(
            float(heat_of("integrated_gradients", scored, clips, Settings(most_steps=most)).sum())
            - difference
        )
        for most in (1, 1024)
    ]
    assert missed[1] < 0.01 * abs(difference) < missed[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "arguments"),
    [("posec3d_tiny", {}), ("posec3d_tiny", {"draw": "limbs"}), ("rgbpose_conv3d_tiny", {})],
)
def test_integrated_gradients_of_drawn_joints_sum_up(model, arguments):
    scored, clips = scored_and_clips(model, batch=1, arguments=arguments)
    joints = clips[-1]
    joints[:, :, 0, 3, :-1] = joints[:, :1, 0, 3, :-1]  # stands still
    joints[:, :2, 0, 7] = 0  # is not seen
    with torch.no_grad():
        difference = float(scored(*clips) - scored(*baselines(clips, scored.recogniser.specs)))
    settings = Settings(steps=32, most_steps=256, batch=32)
    heats = METHODS.get("integrated_gradients").heat(scored, clips, settings)
    assert sum(float(heat.sum()) for heat in heats) == pytest.approx(difference, rel=0.01)
    assert heats[-1].shape == joints.shape[:-1]
    assert heats[-1][:, :2, 0, 7].eq(0).all()
    if not arguments:
        assert heats[-1][:, :, 0, 3].abs().max() < 1e-4 * heats[-1].abs().max()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in scored.modules())


def test_people_have_the_heat_of_what_is_drawn_of_them():
    scored, (clip,) = scored_and_clips("posec3d_tiny", batch=1)
    absent = clip.clone()
    absent[:, :, 1] = 0
    few = Settings(steps=4, most_steps=1)
    heat = heat_of("integrated_gradients", scored, (absent,), few)
    assert heat[:, :, 1].eq(0).all()
    other = heat_of("integrated_gradients", scored, (absent.flip(2),), few)
    torch.testing.assert_close(other, heat.flip(2))
    together = heat_of("integrated_gradients", scored, (clip,), few)
    assert together[:, :, 0].ne(0).any()
    assert together[:, :, 1].ne(0).any()


def test_heatmaps_of_many_frames_have_a_gradient():
    scored, (clip,) = scored_and_clips("posec3d_tiny", batch=1)
    copies = clip.repeat(24, 1, 1, 1, 1).requires_grad_()  # more than are painted at a time
    (together,) = torch.autograd.grad(scored(copies).sum(), copies)
    alone = clip.requires_grad_()
    (gradient,) = torch.autograd.grad(scored(alone).sum(), alone)
    torch.testing.assert_close(together[23:], gradient, rtol=1e-3, atol=1e-6)


def test_integrated_gradients_of_two_inputs_sum_up_together():
    scored, clips = scored_and_clips("two_stream_tiny", batch=1)
    heats = METHODS.get("integrated_gradients").heat(scored, clips, Settings(batch=16))
    with torch.no_grad():
        difference = scored(*clips) - scored(*(torch.zeros_like(clip) for clip in clips))
    total = sum(float(heat.sum()) for heat in heats if heat is not None)
    assert total == pytest.approx(float(difference), rel=0.01)
    assert [heat.shape for heat in heats if heat is not None] == [
        (1, clip.shape[1], *clip.shape[3:]) for clip in clips
    ]


def test_gradient_times_input_is_computed_by_hand():
    scored, (clip,) = scored_and_clips("kine_tiny")
    free = clip.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(scored(free).sum(), free)
    heat = heat_of("gradient_x_input", scored, (clip,))
    torch.testing.assert_close(heat, (gradient * clip).sum(2))


def test_joints_count_from_where_they_rest_and_scores_are_held():
    scored, (clip,) = scored_and_clips("stgcn_tiny")
    free = clip.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(scored(free).sum(), free)
    moved = clip - at_rest(clip)
    assert moved[..., -1].eq(0).all()
    torch.testing.assert_close(moved[..., :-1].mean(1), torch.zeros(moved[:, 0, ..., :-1].shape))
    heat = heat_of("gradient_x_input", scored, (clip,))
    torch.testing.assert_close(heat, (gradient * moved)[..., :-1].sum(-1))


@pytest.mark.parametrize("method", [*GRADIENTS, "occlusion", "limb_occlusion", "frame_occlusion", "rise"])
def test_joints_that_are_not_seen_have_no_heat(method):
    scored, (clip,) = scored_and_clips("stgcn_tiny")
    clip[:, :, 1] = 0
    clip[:, 3:5, 0, 7] = 0
    heat = heat_of(method, scored, (clip,), Settings(steps=4, samples=2, masks=8, batch=8))
    assert heat.shape == clip.shape[:-1]
    assert heat[:, :, 1].eq(0).all()
    assert heat[:, 3:5, 0, 7].eq(0).all()
    assert heat[:, :, 0].ne(0).any()


def test_smoothgrad_of_next_to_no_noise_is_the_size_of_the_gradient():
    scored, (clip,) = scored_and_clips("cnn_lstm_tiny")
    free = clip.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(scored(free).sum(), free)
    heat = heat_of("smoothgrad", scored, (clip,), Settings(noise=1e-8, samples=2))
    torch.testing.assert_close(heat, gradient.abs().sum(2), rtol=1e-3, atol=1e-6)


def test_smoothgrad_is_the_same_by_seed_and_leaves_the_random_numbers_of_others():
    scored, clips = scored_and_clips("kine_tiny")
    state = torch.get_rng_state()
    first = heat_of("smoothgrad", scored, clips)
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(7)
    assert heat_of("smoothgrad", scored, clips).equal(first)
    assert not heat_of("smoothgrad", scored, clips, Settings(samples=3, seed=1)).equal(first)


def test_the_gradient_of_frames_is_their_norm():
    scored, (clip,) = scored_and_clips("cnn_lstm_tiny")
    free = clip.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(scored(free).sum(), free)
    heat = heat_of("frame_gradient", scored, (clip,))
    assert heat.shape == (2, clip.shape[1], 1, 1)
    torch.testing.assert_close(heat[..., 0, 0], gradient.flatten(2).norm(dim=2))


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient.clamp(min=0) * (x > 0)


class _GuidedReLU(nn.Module):
    def forward(self, x):
        return _Guided.apply(x)


def by_rule(scored: Scored, clip: Tensor) -> Tensor:
    """Guided backpropagation of a copy whose ReLUs have the rule for their gradient."""
    twin = copy.deepcopy(scored.recogniser.net)
    for module in list(twin.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, _GuidedReLU())
    free = clip.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(scored.target.of(twin(free)).sum(), free)
    return gradient.abs().sum(2)


@pytest.mark.parametrize("model", ["kine_tiny", "r3d_tiny", "tpn_tsm_tiny", "cnn_lstm_tiny"])
def test_guided_backpropagation_follows_its_rule_also_where_relus_run_in_place_and_again(model):
    scored, (clip,) = scored_and_clips(model)
    torch.testing.assert_close(heat_of("guided_backprop", scored, (clip,)), by_rule(scored, clip))


def test_guided_backpropagation_follows_its_rule_where_a_relu_shares_what_it_is_given():
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(3, 4, 3, padding=1)
            self.relu = nn.ReLU()
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x.transpose(1, 2))
            return self.fc((self.relu(x) - 0.5 * x).mean((2, 3, 4)))

    recogniser, (clip,) = recogniser_and_clips("kine_tiny")
    recogniser.net = Forked()
    scored = Scored(recogniser, Target(1))
    torch.testing.assert_close(heat_of("guided_backprop", scored, (clip,)), by_rule(scored, clip))


@pytest.mark.parametrize(
    ("model", "runs"),
    [
        ("videomae_tiny", "GELU"),
        ("movinet_tiny", "SiLU"),
        ("dd_net_tiny", "LeakyReLU"),
        ("tsm_mobile_tiny", "ReLU6"),
        ("aagcn_tiny", FUNCTIONAL),
    ],
)
def test_guided_backpropagation_is_refused_by_name(model, runs):
    recogniser, clips = recogniser_and_clips(model)
    said = f"guided_backprop is defined for nn.ReLU alone, and {model} runs {runs}; use integrated_gradients"
    reason = METHODS.get("guided_backprop").refusal(recogniser)
    assert reason is not None
    assert reason.startswith(said)
    with pytest.raises(InvalidSetting, match=f"{model} runs {runs}"):
        heat_of("guided_backprop", Scored(recogniser, Target(0)), clips)


def test_guided_backpropagation_needs_a_relu():
    recogniser, _ = recogniser_and_clips("kine_tiny")
    recogniser.net = nn.Sequential(nn.Flatten(1), nn.Linear(8 * 3 * 32 * 32, 3))
    reason = METHODS.get("guided_backprop").refusal(recogniser)
    assert reason == (
        "guided_backprop needs a ReLU, and kine_tiny runs none; use integrated_gradients, or smoothgrad for "
        "its look."
    )


def test_watching_activations_computes_nothing_and_leaves_the_network():
    recogniser, _ = recogniser_and_clips("kine_tiny")
    recogniser.net.layer1.train()
    before = [module.training for module in recogniser.modules()]
    assert activations(recogniser).relus == 9
    assert [module.training for module in recogniser.modules()] == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in recogniser.modules())


def test_activations_are_seen_once_and_anew_when_a_module_is_another():
    recogniser, _ = recogniser_and_clips("kine_tiny")
    found = activations(recogniser)
    assert activations(recogniser) is found
    name = next(name for name, module in recogniser.net.named_modules() if isinstance(module, nn.ReLU))
    recogniser.net.set_submodule(name, nn.SiLU())
    assert activations(recogniser).others == {"SiLU"}


@pytest.mark.parametrize("method", GRADIENTS)
def test_parameters_hooks_and_inputs_stay_as_they_were(method):
    scored, clips = scored_and_clips("kine_tiny")
    frozen = next(scored.parameters()).requires_grad_(False)
    before, seen = copy.deepcopy(scored.state_dict()), [clip.clone() for clip in clips]
    with torch.no_grad():  # gradients are on where they are asked for
        heat = heat_of(method, scored, clips)
    assert not heat.requires_grad
    assert all(parameter.grad is None for parameter in scored.parameters())
    assert [p.requires_grad for p in scored.parameters()].count(False) == 1
    assert not frozen.requires_grad
    assert all(value.equal(before[name]) for name, value in scored.state_dict().items())
    assert all(clip.equal(kept) and not clip.requires_grad for clip, kept in zip(clips, seen, strict=True))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in scored.modules())


def test_hooks_are_gone_after_an_error():
    scored, (clip,) = scored_and_clips("kine_tiny")
    with pytest.raises(RuntimeError):
        heat_of("guided_backprop", scored, (clip[:, :, :2],))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in scored.modules())


@pytest.mark.parametrize(
    "method", ["gradient_x_input", "integrated_gradients", "smoothgrad", "frame_gradient"]
)
def test_no_more_clips_run_together_than_asked_for(method):
    scored, _ = scored_and_clips("kine_tiny")
    clips = (torch.randn(5, 8, 3, 32, 32),)
    together: list[int] = []
    scored.register_forward_pre_hook(lambda _, inputs: together.append(len(inputs[0])))
    heat = heat_of(method, scored, clips, Settings(steps=7, samples=5, batch=2))
    assert heat.shape[0] == 5
    assert max(together) == 2


def test_without_captum_the_extra_is_named(monkeypatch):
    scored, clips = scored_and_clips("kine_tiny")
    found = builtins.__import__

    def missing(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith("captum"):
            raise ImportError("No module named 'captum'")
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    for method in (*GRADIENTS, "occlusion"):
        with pytest.raises(MissingExtra, match=r"pip install 'kinesphere\[explain\]'"):
            heat_of(method, scored, clips)
