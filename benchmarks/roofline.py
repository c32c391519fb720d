"""How fast a device could run a network's operators at best: the roofline of Williams et al., CACM 2009.

Two ceilings are measured on the device itself, a large matrix product and a large copy. The least time of an
operator is the larger of its floating-point operations over the first and its bytes (each operand read once,
each result written once) over the second; the least time of a network is the sum over its operators as eager
execution calls them. Fused execution moves fewer bytes, so it may come out above 100 %.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class Ceilings:
    """What a device was measured to do at most.

    Attributes:
        flops_per_s: Of a square matrix product in the precision used.
        bytes_per_s: Of a copy on the device, bytes read plus bytes written.
    """

    flops_per_s: float
    bytes_per_s: float

    @classmethod
    def measure(cls, device: str, dtype: torch.dtype, *, side: int, copied_mib: int) -> Ceilings:
        """Of this device; random numbers, since some devices multiply zeros faster."""
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        source = torch.randn(copied_mib * 2**18, device=device)
        target = torch.empty_like(source)
        product_s = median_seconds(lambda: torch.mm(a, b), device)
        copy_s = median_seconds(lambda: target.copy_(source), device)
        return cls(2 * side**3 / product_s, 2 * source.nbytes / copy_s)


class LeastTime(TorchDispatchMode):
    """Adds up the least seconds of every operator that runs in its context, backward passes included."""

    def __init__(self, ceilings: Ceilings) -> None:
        super().__init__()
        self.seconds = 0.0
        self.flops = 0
        self._ceilings = ceilings

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        flops = 0 if count is None else int(count(*args, **(kwargs or {}), out_val=out))
        read = {_storage(x): x for x in _tensors((args, kwargs))}
        written = {_storage(x): x for x in _tensors(out)}
        if not flops and not func._schema.is_mutable and written.keys() <= read.keys():
            return out  # a view moves nothing
        bytes_moved = sum(_nbytes(x) for x in (*read.values(), *written.values()))
        self.flops += flops
        self.seconds += max(flops / self._ceilings.flops_per_s, bytes_moved / self._ceilings.bytes_per_s)
        return out


def median_seconds(run: Callable[[], object], device: str, *, rounds: int = 10, warm_up: int = 3) -> float:
    """Median time of a call, the device's queue empty before and after."""
    for _ in range(warm_up):
        run()
    return median(timed(run, device) for _ in range(rounds))


def timed(run: Callable[[], object], device: str) -> float:
    """Seconds of one call, until the device has finished it."""
    synchronise(device)
    begun = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - begun


def synchronise(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _tensors(tree: object) -> Iterator[Tensor]:
    """Those whose memory can be told: weights in a library's own layout are left out."""
    leaves = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
    return (leaf for leaf in leaves if leaf.layout is torch.strided)


def _storage(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def _nbytes(x: Tensor) -> int:
    return min(x.numel() * x.element_size(), x.untyped_storage().nbytes())  # expanded tensors repeat theirs
