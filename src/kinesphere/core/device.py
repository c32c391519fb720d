"""What this machine can do, and the settings that follow from it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    import torch
    from torch import nn

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Compute:
    """Where and how networks run.

    Attributes:
        device: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`.
        precision: Arithmetic of the heavy operators; weights stay fp32.
        channels_last: Whether convolutions run in channels-last memory where that is faster.
        threads: How many threads compute on the CPU; None for what suits the network (`core/threads.py`).
    """

    device: str
    precision: Precision
    channels_last: bool
    threads: int | None = None

    @classmethod
    def choose(
        cls,
        device: str = "auto",
        precision: Precision | Literal["auto"] = "auto",
        channels_last: bool = True,
        threads: int | None = None,
    ) -> Compute:
        """The best settings for this machine; explicit ones are taken as given, never changed.

        Raises:
            InvalidSetting: If the device is absent, the precision unknown or the threads not positive.
        """
        import torch

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        kind = device.split(":")[0]
        if kind == "cuda" and not torch.cuda.is_available():
            raise InvalidSetting(
                f"Device {device!r} was asked for, but no CUDA device is available; use 'cpu'."
            )
        if kind not in ("cpu", "cuda", "mps"):
            raise InvalidSetting(f"Unknown device {device!r}; use auto, cpu, cuda, cuda:N or mps.")
        if precision == "auto":
            precision = fast_precision(kind)
        if precision not in PRECISIONS:
            raise InvalidSetting(f"Unknown precision {precision!r}; use auto, {', '.join(PRECISIONS)}.")
        if threads is not None and threads < 1:
            raise InvalidSetting(f"At least one thread computes; got threads={threads}.")
        return cls(device, precision, channels_last, threads)

    def autocast(self) -> torch.autocast:
        """Context in which the forward pass runs."""
        import torch

        kind = self.device.split(":")[0]
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(kind, dtype, enabled=self.precision != "fp32")

    def place(self, module: nn.Module) -> nn.Module:
        """Move a module to the device and its convolution weights into the memory layout."""
        module = module.to(self.device)
        if self.channels_last and not (self.device.startswith("cuda") and has_depthwise_3d(module)):
            weights_to_channels_last(module)
        return module


def has_depthwise_3d(module: nn.Module) -> bool:
    """Whether some 3-D convolution has one channel to each filter.

    cuDNN has no fast kernels for these in channels-last memory: X3D-M took 2.4 times as long in it as in
    contiguous memory for inference, 2.6 times for a training step (`python -m benchmarks.gpu`).
    """
    from torch import nn

    return any(
        isinstance(part, nn.Conv3d) and 1 < part.groups == part.in_channels for part in module.modules()
    )


def weights_to_channels_last(module: nn.Module) -> None:
    """Rearrange convolution weights in memory, so that convolutions run in that layout."""
    import torch

    for weight in module.parameters():
        if weight.dim() == 5:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)
        elif weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)


@cache
def fast_precision(kind: str) -> Precision:
    """bf16 where the hardware multiplies it natively, else fp32 (emulated bf16 is slower)."""
    import torch

    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if kind == "cpu":
        flags = cpu_flags()
        return "bf16" if {"avx512_bf16", "amx_bf16", "bf16"} & flags else "fp32"
    return "fp32"


@cache
def cpu_flags() -> frozenset[str]:
    """Instruction-set names that the operating system reports (empty where it does not)."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.lower().startswith(("flags", "features")):
                    return frozenset(line.split(":", 1)[1].split())
    except OSError:
        pass
    return frozenset()


def cpu_count() -> int:
    """Cores that this process may use: those it may run on, within the quota of its control groups.

    `taskset` limits the first, containers and schedulers either.
    """
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), cpu_quota() or sys.maxsize)
    return os.cpu_count() or 1


@cache
def cpu_quota(proc: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Cores' worth of time that the control groups of this process have, rounded up; None without a limit.

    Args:
        proc: File that lists the process's groups.
        mount: Where the groups are mounted: those of version 2 here, of version 1 in `cpu` below.
    """
    quotas: list[int] = []
    try:
        lines = proc.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for number, controllers, group in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        root = mount if number == "0" else mount / "cpu"
        # A container may see the name that its group has outside, where its own is the root.
        for parent in [Path(group), *Path(group).parents]:
            quotas += _quota(root / parent.relative_to("/"))
    return min(quotas, default=None)


def _quota(group: Path) -> list[int]:
    """The limit of one control group, if it has one."""
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text(encoding="utf-8")
            period = (group / "cpu.cfs_period_us").read_text(encoding="utf-8")
        return [max(1, -(-int(quota) // int(period)))] if int(quota) > 0 else []
    except (OSError, ValueError):  # no such group, or "max"
        return []


@cache
def keep_freed_memory() -> None:
    """Let the C library keep memory that is freed, up to a gigabyte, instead of giving each large block back.

    A network frees and asks for the same large blocks in every pass. By default glibc maps those above 32 MB
    anew each time, and the kernel clears them page by page, which costs networks with large feature maps up
    to a third of their time. Applies to the process; does nothing where the C library is another one.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    trim_threshold, mmap_max = -1, -4  # malloc.h
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 1 << 30)


def give_back_freed_memory() -> None:
    """Give the system what the C library keeps of freed memory.

    For processes that run for days: frames that come and go on several threads leave more and more gaps
    between what stays. Takes milliseconds; does nothing where the C library is another one.
    """
    import ctypes

    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return
    trim(0)


class SpareMemory:
    """Gives back freed memory now and then, in work that lasts minutes or days.

    What decodes asks for small blocks between the large ones of a network's passes, and those that stay are
    gaps into which the next pass's do not fit: the process grows by what lies idle between them.

    Args:
        every_s: Shortest time between two times, in seconds.
        now: The time in seconds.
    """

    def __init__(self, every_s: float = 60.0, now: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._now = every_s, now
        self._gave_back_s = now()

    def give_back(self) -> None:
        """Give the system what lies idle, if it is time."""
        if self._now() - self._gave_back_s > self._every_s:
            self._gave_back_s = self._now()
            give_back_freed_memory()
