from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.models.weights.keymap import (
    Ignore,
    Join,
    KeyMap,
    Rename,
    Split,
    Transform,
    squeeze,
    unsqueeze,
)


def x(*shape: int) -> torch.Tensor:
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape)


def both_ways(key_map: KeyMap, theirs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our state, after checking that it leads back to theirs."""
    ours = key_map.to_ours(theirs)
    assert not ours.unmapped
    back = key_map.to_theirs(ours.state)
    assert not back.unmapped
    assert set(back.state) == set(theirs) - set(ours.ignored)
    assert all(torch.equal(back.state[key], theirs[key]) for key in back.state)
    return ours.state


@given(st.integers(1, 99), st.integers(0, 99), st.sampled_from(["weight", "bias", "running_mean"]))
def test_numbers_shift_and_tails_carry_over(stage, block, tail):
    key_map = KeyMap("t", (Rename("blocks.{s}.res.{b}.*", "layer{s-1}.{b}.*"),))
    ours = both_ways(key_map, {f"blocks.{stage}.res.{block}.{tail}": x(2)})
    assert list(ours) == [f"layer{stage - 1}.{block}.{tail}"]


def test_a_number_below_zero_does_not_match():
    key_map = KeyMap("t", (Rename("a{i}", "b{i-1}"),))
    assert key_map.to_ours({"a0": x(1)}).unmapped == ("a0",)


def test_the_first_rule_that_matches_applies():
    key_map = KeyMap("t", (Rename("fc.*", "head.*"), Rename("*", "backbone.*")))
    assert set(both_ways(key_map, {"fc.weight": x(2), "conv.weight": x(2)})) == {
        "head.weight",
        "backbone.conv.weight",
    }


def test_rules_may_follow_from_the_state_of_either_side():
    def rules(state):
        return (Rename(f"b{{i+{len(state) - 1}}}", "last.{i}"), Rename("b{i}", "first.{i}"))

    key_map = KeyMap("t", rules)
    assert list(both_ways(key_map, {f"b{i}": x(2) for i in range(3)})) == ["first.0", "first.1", "last.0"]


def test_dots_are_literal():
    key_map = KeyMap("t", (Rename("a.b", "c"),))
    assert key_map.to_ours({"axb": x(1)}).unmapped == ("axb",)


def test_transforms_change_the_form_in_both_directions():
    key_map = KeyMap(
        "t",
        (
            Rename("fc.weight", "fc.weight", squeeze(2, 3, 4)),
            Rename("proj", "conv", unsqueeze(2)),
            Rename("kernel", "weight", Transform(lambda t: t.T, lambda t: t.T)),
        ),
    )
    ours = both_ways(key_map, {"fc.weight": x(5, 4, 1, 1, 1), "proj": x(3, 2), "kernel": x(2, 3)})
    assert ours["fc.weight"].shape == (5, 4)
    assert ours["conv"].shape == (3, 2, 1)
    assert ours["weight"].shape == (3, 2)


def test_split_and_join_are_inverse():
    split = KeyMap("t", (Split("b{i}.qkv.*", ("b{i}.q.*", "b{i}.k.*", "b{i}.v.*")),))
    ours = both_ways(split, {"b0.qkv.weight": x(6, 2), "b1.qkv.weight": x(6, 2)})
    assert torch.equal(ours["b1.k.weight"], x(6, 2)[2:4])
    join = KeyMap("t", (Join(("q.*", "k.*"), "qk.*", dim=1),))
    assert both_ways(join, {"q.weight": x(2, 3), "k.weight": x(2, 3)})["qk.weight"].shape == (2, 6)


def test_a_join_without_its_partner_is_left_over():
    join = KeyMap("t", (Join(("q", "k"), "qk"),))
    assert join.to_ours({"q": x(2)}).unmapped == ("q",)


def test_uneven_split_is_refused():
    with pytest.raises(InvalidCheckpoint, match="cannot be split into 2 equal parts"):
        KeyMap("t", (Split("qk", ("q", "k")),)).to_ours({"qk": x(3)})


def test_two_tensors_for_one_place_are_refused():
    key_map = KeyMap("t", (Rename("a", "c"), Rename("b", "c")))
    with pytest.raises(InvalidCheckpoint, match="Two tensors map to 'c'; the second is 'b'"):
        key_map.to_ours({"a": x(1), "b": x(1)})


def test_ignored_keys_keep_their_reason():
    mapped = KeyMap("t", (Ignore("mask*", "a constant"), Rename("*", "*"))).to_ours(
        {"mask1": x(1), "w": x(1)}
    )
    assert mapped.ignored == {"mask1": "a constant"}
    assert set(mapped.state) == {"w"}


def test_builder_arguments_are_fixed_ones_and_inferred_ones():
    key_map = KeyMap("t", (), {"eps": 1e-3}, infer=lambda state: {"width": state["w"].shape[0]})
    assert key_map.builder_arguments({"w": x(7, 2)}) == {"eps": 1e-3, "width": 7}
