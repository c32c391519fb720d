"""What every registered model promises; a new zoo file is found here by itself."""

from __future__ import annotations

import copy
import inspect
import sys
from typing import get_type_hints

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models import Recogniser, card, counts, create_model, list_models
from kinesphere.models.registry import MODELS
from kinesphere.models.runtime.measure import count_multiply_adds, count_parameters, input_shape
from kinesphere.models.words import ComparesWithWords

TINY = list_models(tiny=True)
EVERY = [*TINY, *(pytest.param(name, marks=pytest.mark.slow) for name in list_models())]
"""Small networks in every run of the tests; those of full size, built anew each time, in the whole one."""
LABELS = LabelSet(("clap", "jump", "wave"))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def recogniser_and_batch(name: str, *, batch: int = 2) -> tuple[Recogniser, tuple[Tensor, ...]]:
    recogniser = create_model(name, LABELS)
    return recogniser, tuple(example(spec, batch) for spec in recogniser.specs)


def example(spec: ClipSpec, batch: int) -> Tensor:
    """A normalised batch: noise, or joints in the picture (or about the origin) with any score."""
    shape = input_shape(spec, batch=batch)
    if spec.modality != "pose":
        return torch.randn(shape)
    points = (torch.rand(*shape[:-1], spec.dimensions) - torch.tensor(spec.mean)) / torch.tensor(spec.std)
    return torch.cat([points, torch.rand(*shape[:-1], 1)], -1)


@torch.inference_mode()
def logits(recogniser: Recogniser, batch: tuple[Tensor, ...]) -> Tensor:
    return recogniser.eval()(*batch)


def relative_difference(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).abs().max() / b.float().abs().max())


@pytest.mark.parametrize("name", EVERY)
def test_card_states_what_is_measured(name):
    architecture = MODELS.get(name)
    with torch.device("meta"):
        net = architecture.build(architecture.card.classes, {})
    assert count_parameters(net) == architecture.card.parameters
    assert count_multiply_adds(net, architecture.card.inputs) == architecture.card.multiply_adds


def test_the_table_of_counts_has_the_models_and_no_others():
    """`make counts` writes it; the numbers themselves are measured above."""
    assert sorted(counts.table()) == sorted([*list_models(), *TINY])


@pytest.mark.parametrize("name", EVERY)
def test_model_is_a_documented_function_of_its_family(name):
    folder = sys.modules[f"kinesphere.models.zoo.{card(name).family}"]
    function = getattr(folder, name)
    assert inspect.getdoc(function)
    assert get_type_hints(function)["num_classes"] is int
    with torch.device("meta"):
        alone, registered = function(3), MODELS.get(name).build(3, {})
    assert isinstance(alone, get_type_hints(function)["return"])
    shapes = [{key: x.shape for key, x in net.state_dict().items()} for net in (alone, registered)]
    assert shapes[0] == shapes[1]
    assert str(alone) == str(registered)


@pytest.mark.parametrize("name", EVERY)
def test_card_names_modules_that_exist(name):
    architecture = MODELS.get(name)
    with torch.device("meta"):
        net = architecture.build(architecture.card.classes, {})
    paths = [*architecture.card.head, *architecture.card.stages]
    for path in paths:
        assert isinstance(net.get_submodule(path), nn.Module)
    for layer in architecture.card.cam_layers:
        assert isinstance(layer.module(net), nn.Module)
        assert 0 <= layer.input < len(architecture.card.inputs)
    layouts = {key_map.layout for key_map in architecture.key_maps}
    foreign = [entry for entry in architecture.card.weights if entry.file is None]
    assert {entry.layout for entry in foreign} <= layouts


@pytest.mark.parametrize("name", list_models())
def test_family_has_a_tiny_variant(name):
    assert card(name).family in {card(tiny).family for tiny in TINY}


@pytest.mark.parametrize("name", TINY)
def test_tiny_is_tiny(name):
    assert card(name).parameters <= 2_000_000


@pytest.mark.parametrize("name", TINY)
def test_one_step_moves_every_parameter_that_gets_a_gradient(name):
    recogniser, batch = recogniser_and_batch(name)
    recogniser.train()
    loss = nn.functional.cross_entropy(recogniser(*batch), torch.tensor([0, 2]))
    loss.backward()
    without = [key for key, p in recogniser.named_parameters() if p.grad is None]
    assert not without
    assert all(torch.isfinite(p.grad).all() for p in recogniser.parameters())
    before = {key: p.detach().clone() for key, p in recogniser.named_parameters()}
    torch.optim.SGD(recogniser.parameters(), lr=0.1).step()
    # A bias that batch norm takes away again has a gradient of rounding noise, too small to move it.
    still = [
        key for key, p in recogniser.named_parameters() if p.equal(before[key]) and p.grad.abs().max() > 1e-6
    ]
    assert not still


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize(
    "again", [pytest.param(False, id="kept"), pytest.param(True, id="again", marks=pytest.mark.slow)]
)
def test_a_batch_of_one_clip_trains(name, again):
    """The last batch of an odd count, or what unreadable files leave of a batch."""
    recogniser, batch = recogniser_and_batch(name, batch=1)
    if again:
        recogniser.checkpoint_activations()
    loss = nn.functional.cross_entropy(recogniser.train()(*batch), torch.tensor([0]))
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in recogniser.parameters())
    assert any(p.grad.abs().sum() > 0 for p in recogniser.parameters())
    assert all(torch.isfinite(buffer).all() for buffer in recogniser.buffers())


@pytest.mark.parametrize("name", TINY)
def test_checkpointed_activations_change_neither_gradients_nor_statistics(name):
    recogniser, batch = recogniser_and_batch(name)
    twin = create_model(name, LABELS)
    twin.load_state_dict(recogniser.state_dict())
    twin.checkpoint_activations()
    outcomes = []
    for model in (recogniser, twin):
        torch.manual_seed(1)
        loss = nn.functional.cross_entropy(model.train()(*batch), torch.tensor([0, 2]))
        loss.backward()
        gradients = {key: p.grad for key, p in model.named_parameters()}
        outcomes.append({"loss": loss, **gradients, **dict(model.named_buffers())})
    kept, again = outcomes
    assert kept.keys() == again.keys()
    assert all(torch.equal(kept[key], again[key]) for key in kept)


@pytest.mark.parametrize("name", TINY)
def test_evaluation_is_deterministic_and_per_clip(name):
    recogniser, batch = recogniser_and_batch(name)
    out = logits(recogniser, batch)
    assert out.shape == (2, len(LABELS))
    assert torch.isfinite(out).all()
    assert torch.equal(out, logits(recogniser, batch))
    alone = torch.cat([logits(recogniser, tuple(x[i : i + 1] for x in batch)) for i in range(2)])
    assert relative_difference(alone, out) < 1e-4


@pytest.mark.parametrize("name", TINY)
def test_state_round_trip(name):
    """Also of what no state holds: tables that the builder computes."""
    recogniser, batch = recogniser_and_batch(name)
    wanted = logits(recogniser, batch)
    net = recogniser.net
    recogniser.net = MODELS.get(name).build_with(net.state_dict(), len(LABELS), {})
    assert torch.equal(logits(recogniser, batch), wanted)
    assert all(
        torch.equal(new, old) for new, old in zip(recogniser.net.buffers(), net.buffers(), strict=True)
    )


@pytest.mark.parametrize("name", TINY)
def test_head_reset_touches_the_head_alone(name):
    recogniser, batch = recogniser_and_batch(name)
    before = copy.deepcopy(recogniser.net.state_dict())
    names = recogniser.reset_head(LabelSet(("sit", "stand")))
    assert logits(recogniser, batch).shape == (2, 2)
    assert names
    assert set(recogniser.reset) == set(names)
    after = recogniser.net.state_dict()
    assert {key for key in after if not after[key].equal(before[key])} == set(names)


@pytest.mark.parametrize("name", TINY)
def test_every_stage_gives_features_and_owns_parameters_once(name):
    recogniser, batch = recogniser_and_batch(name)
    for stage in recogniser.stages:
        assert isinstance(recogniser.features(batch, stage), Tensor)
    grouped = [key for _, group in recogniser.stage_parameters() for key in group]
    assert sorted(grouped) == sorted(key for key, _ in recogniser.net.named_parameters())


@pytest.mark.parametrize("name", TINY)
def test_freezing_stops_gradients_and_statistics(name):
    recogniser, batch = recogniser_and_batch(name)
    frozen = recogniser.freeze(up_to=recogniser.stages[-1])
    recogniser.train()
    buffers = {key: value.clone() for key, value in recogniser.net.named_buffers()}
    recogniser(*batch).sum().backward()
    assert all(dict(recogniser.net.named_parameters())[key].grad is None for key in frozen)
    inside = tuple(f"{stage}." for stage in recogniser.stages)
    for key, value in recogniser.net.named_buffers():
        assert not key.startswith(inside) or value.equal(buffers[key])


@pytest.mark.parametrize("name", TINY)
def test_freezing_stops_statistics_of_every_frozen_norm(name):
    """Also of the norms outside all stages: a ResNet's `bn1`, the first norm of graph convolutions."""
    recogniser, batch = recogniser_and_batch(name)
    recogniser.freeze(up_to=recogniser.stages[-1])
    recogniser.freeze(up_to=recogniser.stages[0])  # an earlier stage leaves the later ones frozen
    recogniser.train()
    with_statistics = [m for m in recogniser.net.modules() if getattr(m, "running_mean", None) is not None]
    frozen = [m for m in with_statistics if not any(p.requires_grad for p in m.parameters())]
    assert not any(module.training for module in frozen)
    before = [module.running_mean.clone() for module in frozen]
    recogniser(*batch)
    assert all(torch.equal(m.running_mean, mean) for m, mean in zip(frozen, before, strict=True))


class _Uses(TorchFunctionMode):
    """Ids of the parameters that functions have been called with."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen |= {id(x) for x in tree_leaves((args, kwargs or {})) if isinstance(x, nn.Parameter)}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", TINY)
def test_layers_behind_the_last_stage_are_frozen_on_demand_only(name):
    recogniser, batch = recogniser_and_batch(name)
    until_last: set[int] = set()
    uses = _Uses()
    last = recogniser.net.get_submodule(recogniser.stages[-1])
    handle = last.register_forward_hook(lambda *_: until_last.update(uses.seen))
    with uses:
        logits(recogniser, batch)
    handle.remove()
    behind = {key for key, p in recogniser.net.named_parameters() if id(p) in uses.seen - until_last}
    assert behind
    assert not behind & set(recogniser.freeze(up_to=recogniser.stages[0]))
    assert not behind & set(recogniser.freeze(up_to=recogniser.stages[-1]))
    parameters = dict(recogniser.net.named_parameters())
    assert all(parameters[key].requires_grad for key in behind)
    deepest = recogniser.stage_parameters()[-2][0]
    recogniser.freeze(up_to=deepest)
    learning = {key for key, p in parameters.items() if p.requires_grad}
    assert learning == set(dict(recogniser.stage_parameters())["head"])


@pytest.mark.parametrize("name", TINY)
def test_channels_last_and_bf16_stay_close(name):
    recogniser, batch = recogniser_and_batch(name)
    plain = logits(recogniser, batch)
    Compute("cpu", "fp32", channels_last=True).place(recogniser)
    assert relative_difference(logits(recogniser, batch), plain) < 1e-4
    with Compute("cpu", "bf16", channels_last=True).autocast():
        assert relative_difference(logits(recogniser, batch), plain) < 0.1


@pytest.mark.parametrize("name", [name for name in TINY if not card(name).fixed_length])
def test_other_lengths(name):
    recogniser, batch = recogniser_and_batch(name)
    longer = tuple(torch.cat([x, x], dim=1) for x in batch)
    assert logits(recogniser, longer).shape == (2, len(LABELS))


@pytest.mark.parametrize(
    "name",
    [n for n in TINY if not card(n).fixed_size and all(spec.modality != "pose" for spec in card(n).inputs)],
)
def test_other_sizes(name):
    recogniser, batch = recogniser_and_batch(name)
    wider = tuple(torch.cat([x, x[..., :16]], dim=-1) for x in batch)
    assert logits(recogniser, wider).shape == (2, len(LABELS))


MADE_FOR = ("length", "frames", "grid", "size", "size_px")
"""Builder arguments that say for which clips a network is made."""


def made_for(name: str) -> dict[str, int | tuple[int, ...]]:
    parameters = inspect.signature(MODELS.get(name).builder).parameters
    return {argument: parameters[argument].default for argument in MADE_FOR if argument in parameters}


@pytest.mark.parametrize("name", [*list_models(), *TINY])
def test_the_builders_defaults_have_the_contract_of_the_card(name):
    assert MODELS.get(name).specs({}) == card(name).inputs


@pytest.mark.parametrize("name", [n for n in TINY if made_for(n)])
def test_networks_for_other_clips_state_them(name):
    """Twice what the builder's arguments say by default, each by itself and then all together."""
    twice = {
        key: 2 * x if isinstance(x, int) else tuple(2 * y for y in x) for key, x in made_for(name).items()
    }
    for arguments in (*({key: value} for key, value in twice.items()), twice):
        recogniser = create_model(name, LABELS, arguments=arguments)
        own = card(name).inputs
        assert recogniser.specs != own
        for spec, plain in zip(recogniser.specs, own, strict=True):
            longer, larger = spec.length // plain.length, spec.size[0] // plain.size[0]
            assert (longer, larger) in {(1, 1), (1, 2), (2, 1), (2, 2)}
            assert spec.sampling.kind == plain.sampling.kind
        batch = tuple(example(spec, 1) for spec in recogniser.specs)
        assert logits(recogniser, batch).shape == (1, len(LABELS))
        assert (
            create_model(name, LABELS, arguments=arguments, spec=recogniser.specs).specs == recogniser.specs
        )


@pytest.mark.parametrize("name", [n for n in TINY if MODELS.get(n).key_maps])
def test_key_maps_are_bijections(name):
    """Our state, written in a public layout and read again, is our state."""
    architecture = MODELS.get(name)
    for key_map in (key_map for key_map in architecture.key_maps if not key_map.backbone_only):
        state = architecture.build(3, key_map.arguments).state_dict()
        theirs = key_map.to_theirs(state)
        back = key_map.to_ours(theirs.state)
        assert not theirs.unmapped
        assert not back.unmapped
        assert set(back.state) == set(state)
        assert all(torch.equal(back.state[key], state[key]) for key in state)


def test_another_package_adds_a_model_through_its_entry_point(install):
    toy = """
        from torch import Tensor, nn
        from kinesphere.clips import ClipSpec, Sampling
        from kinesphere.models import Family

        class Brightness(nn.Module):
            def __init__(self, num_classes: int) -> None:
                super().__init__()
                self.fc = nn.Linear(3, num_classes)

            def forward(self, x_BTCHW: Tensor) -> Tensor:
                return self.fc(x_BTCHW.mean((1, 3, 4)))

        SPEC = ClipSpec(Sampling("dense", 2), size=(8, 8))
        TOY = Family(
            name="brightness", paper=None, network=Brightness, inputs=(SPEC,), tiny_inputs=(SPEC,), stages=()
        )

        @TOY.model("The mean colour.")
        def brightness(num_classes: int) -> Brightness:
            return TOY.build(num_classes)
    """
    install(MODELS, "kinesphere.models", toy)
    assert "brightness" in list_models()
    recogniser, batch = recogniser_and_batch("brightness")
    assert logits(recogniser, batch).shape == (2, 3)
    assert (card("brightness").parameters, card("brightness").multiply_adds) == (3 * 400 + 400, 3 * 400)


@pytest.mark.parametrize("name", TINY)
def test_its_head_on_its_features_answers_what_it_does(name):
    recogniser, batch = recogniser_and_batch(name)
    whole = logits(recogniser, batch)
    path, *others = recogniser.card.head
    head = recogniser.net.get_submodule(path)
    if others or isinstance(head, nn.ModuleList) or isinstance(recogniser.net, ComparesWithWords):
        with pytest.raises(InvalidSetting, match="take the features of a model with one head"):
            recogniser.without_head()
        return
    features = logits(recogniser.without_head(), batch)
    if isinstance(head, nn.Conv3d):
        features = features[:, :, None, None, None]
    with torch.inference_mode():
        assert relative_difference(head(features).flatten(1), whole) < 1e-5
    assert recogniser.net.get_submodule(path) is head
