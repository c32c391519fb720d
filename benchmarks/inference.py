"""Latency of our 3D ResNets against torchvision's, same weights, same clip, same run.

    python -m benchmarks.inference

torchvision is needed beside Kinesphere, in an environment of its own; its compiled operators are not used
(`benchmarks.peers` declares those it insists on). Every variant runs in turn, round after round, and the
fastest round counts, so that other work on the machine does not favour one of them. bf16 is timed where
the processor multiplies it natively, otherwise only with `--force-bf16`, and said so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.peers import declare_torchvision_operators, stop_without
from benchmarks.record import command_line, finish, goal, milliseconds, significant
from kinesphere.core.device import Compute, cpu_count, fast_precision
from kinesphere.models import import_state
from kinesphere.models.optimise import optimise_for_inference

MODELS = ("r3d_18", "mc3_18", "r2plus1d_18")


@dataclass(frozen=True)
class Latency:
    """One architecture: seconds and largest relative logit difference to torchvision's, by variant."""

    model: str
    seconds: dict[str, float]
    differences: dict[str, float]

    def ratio(self, variant: str) -> float | None:
        """How many times faster than torchvision; `None` for a variant that was not timed."""
        return self.seconds["torchvision"] / self.seconds[variant] if variant in self.seconds else None

    def row(self) -> dict[str, str]:
        cells = {"model": self.model, "torchvision, ms": milliseconds(self.seconds["torchvision"])}
        for variant in ("fp32", "bf16"):
            ratio = self.ratio(variant)
            cells[f"ours {variant}, ms"] = milliseconds(self.seconds.get(variant))
            cells[f"ratio {variant}"] = significant(ratio) if ratio else ""
            difference = self.differences.get(variant)
            cells[f"logits off, {variant}"] = "" if difference is None else f"{difference:.0e}"
        return cells


def reference(name: str, seed: int = 0) -> torch.nn.Module:
    """torchvision's network with random weights and batch norms that are not the identity."""
    declare_torchvision_operators()
    try:
        from torchvision.models import video
    except ModuleNotFoundError:
        stop_without("torchvision")
    torch.manual_seed(seed)
    net = getattr(video, name)().eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net


def interleaved(variants: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, float]:
    """Fastest time of each variant in seconds; one warm-up each."""
    best = dict.fromkeys(variants, float("inf"))
    for run in variants.values():
        run()
    for _ in range(rounds):
        for name, run in variants.items():
            begun = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - begun)
    return best


@torch.inference_mode()
def compare(name: str, batch: int, rounds: int, bf16: bool) -> Latency:
    """Times, ratios and logit differences of one architecture on clips of 16×112×112."""
    peer = reference(name)
    recogniser = import_state(peer.state_dict(), name)
    frames = torch.randn(batch, 16, 112, 112, 3)  # as decoded: channels last in memory
    clip = frames.permute(0, 1, 4, 2, 3)
    plain = clip.transpose(1, 2).contiguous()
    fp32 = Compute("cpu", "fp32", channels_last=True)
    ours = optimise_for_inference(recogniser, fp32)
    variants = {"torchvision": lambda: peer(plain), "fp32": lambda: ours(clip)}
    if bf16:
        low = Compute("cpu", "bf16", channels_last=True)
        ours_low = optimise_for_inference(recogniser, low)

        def run_low() -> Tensor:
            with low.autocast():
                return ours_low(clip)

        variants["bf16"] = run_low
    seconds = interleaved(variants, rounds)
    wanted = peer(plain)
    differences = {
        key: float((run().float() - wanted).abs().max() / wanted.abs().max()) for key, run in variants.items()
    }
    return Latency(name, seconds, differences)


def goals(latencies: list[Latency], native_bf16: bool) -> list[str]:
    """Of r3d_18, if it was measured."""
    measured = next((latency for latency in latencies if latency.model == "r3d_18"), None)
    lines = [goal("r3d_18 fp32, speed over torchvision", measured and measured.ratio("fp32"), 2.5)]
    what = "r3d_18 bf16, speed over torchvision's fp32"
    if native_bf16:
        lines.append(goal(what, measured and measured.ratio("bf16"), 5))
    else:
        lines.append(f"{what} (goal: at least 5x): not measured: no native bf16 on this machine")
    return lines


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=cpu_count())
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--force-bf16", action="store_true", help="time bf16 where it is emulated, too")
    args = parser.parse_args()
    native = fast_precision("cpu") == "bf16"
    torch.set_num_threads(args.threads)
    latencies = []
    for name in args.models:
        latencies.append(compare(name, args.batch, args.rounds, native or args.force_bf16))
        print(latencies[-1].row(), flush=True)
    notes = [] if native or not args.force_bf16 else ["the times of bf16 are emulated"]
    rows = [latency.row() for latency in latencies]
    finish("inference", "Latency of a clip", parser, args, rows, goals(latencies, native), notes)


if __name__ == "__main__":
    main()
