"""Names of tensors without what wrappers of a network put into them.

Some wrappings are certain: a part `_orig_mod` is always that of `torch.compile`, a prefix of all names says
nothing. Others are not: a part `module` may be DataParallel's, or the network's own. So a state has several
readings, and the network that is asked for decides which one it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from kinesphere.models.weights.keymap import StateDict

_PREFIXES = ("module.", "model.", "net.", "network.", "ema_model.", "online_model.", "averaged_model.")
# Put between the parts of a name by torch.compile, FSDP and activation checkpointing, and by nothing else.
_INSERTED = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
_COUNTED = frozenset({"total_ops", "total_params"})
"""Last parts of the names under which profilers (thop) count in every layer."""
_COUNTERS = frozenset({"n_averaged", "num_updates", "decay", "initted", "step"})
"""Whole names under which averages of weights count their steps."""
_WRAPPED = frozenset({
    "model", "module", "net", "network", "student", "teacher", "online_model", "ema_model", "averaged_model",
    "backbone", "encoder", "base_model", "classifier",
})  # fmt: skip
_MOST_READINGS = 10


@dataclass(frozen=True, eq=False)
class Reading:
    """One way in which the names of a state can be meant.

    Attributes:
        state: The tensors under the names of the network itself.
        beside: Names, as in the file, of what belongs to something beside the network.
    """

    state: StateDict
    beside: tuple[str, ...] = ()


def without_prefixes(state: Mapping[str, Tensor]) -> StateDict:
    """Without the wrappings that are certain."""
    plain = {".".join(p for p in key.split(".") if p not in _INSERTED): key for key in state}
    if len(plain) == len(state):
        state = {new: state[old] for new, old in plain.items()}
    while prefix := next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
        if not state or "" in state:
            break
    return dict(state)


def without_counters(state: StateDict) -> tuple[StateDict, tuple[str, ...]]:
    """Without single numbers that count what training tools did, and their names."""
    counters = tuple(
        key
        for key, tensor in state.items()
        if tensor.numel() == 1 and (key in _COUNTERS or key.rpartition(".")[2] in _COUNTED)
    )
    return {key: tensor for key, tensor in state.items() if key not in frozenset(counters)}, counters


def readings(state: Mapping[str, Tensor]) -> Iterator[Reading]:
    """What the names can mean, the plainest first: nothing left out before something is."""
    whole = dict(state)
    yield Reading(whole)
    parts = Counter(key.partition(".")[0] for key in state if "." in key)
    known = [part for part, count in parts.most_common() if part in _WRAPPED or 2 * count >= len(state)]
    seen = [frozenset(whole)]
    for reading in (
        _without_part(whole, "module"),
        *(_merged(whole, part) for part in known),
        *(_subset(whole, part) for part in known if parts[part] < len(state)),
        *(_subset(whole, part) for part in known if parts[part] == len(state)),
    ):
        if reading is not None and reading.state and frozenset(reading.state) not in seen:
            seen.append(frozenset(reading.state))
            yield reading
        if len(seen) > _MOST_READINGS:
            return


def _without_part(state: StateDict, part: str) -> Reading | None:
    """Without a part wherever it stands in a name: DataParallel around some layers."""
    renamed = {".".join(p for p in key.split(".") if p != part): tensor for key, tensor in state.items()}
    return Reading(renamed) if len(renamed) == len(state) and "" not in renamed else None


def _merged(state: StateDict, part: str) -> Reading | None:
    """Without a prefix that some names have and others have not."""
    renamed = {key.removeprefix(f"{part}."): tensor for key, tensor in state.items()}
    return Reading(renamed) if len(renamed) == len(state) else None


def _subset(state: StateDict, part: str) -> Reading:
    """What has a prefix, without it; the rest lies beside the network."""
    inner = {
        key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")
    }
    inner = without_counters(without_prefixes(inner))[0] if inner else inner
    return Reading(inner, tuple(key for key in state if not key.startswith(f"{part}.")))
