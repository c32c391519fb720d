"""Latency of our networks against the installed references, same weights, same clip, same run.

    python -m benchmarks.inference

torchvision and PyTorchVideo are needed beside Kinesphere, in an environment of their own; pairs whose
package is missing are left out and named. The reference's state goes through our importer, and the logits are
compared. Every variant runs in turn, round after round, so that other work on the machine does not favour one
of them, and the median counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from benchmarks.peers import stop_without
from benchmarks.record import command_line, finish, goal, milliseconds, significant
from benchmarks.references import PAIRS, Pair
from kinesphere.core.device import Compute, cpu_count, fast_precision
from kinesphere.models import Recogniser, import_state
from kinesphere.models.runtime.inference import optimise_for_inference

Variants = dict[str, Callable[[], Tensor]]
EMULATED = "This processor has no native bf16: oneDNN widens bf16 to fp32, so its times say little of others."

LEFT_OUT = "bf16 is left out: this processor has no native bf16."


@dataclass(frozen=True)
class Latency:
    """One pair: seconds and largest relative logit difference to the reference's, by variant."""

    pair: Pair
    seconds: dict[str, float]
    differences: dict[str, float]

    def ratio(self, variant: str) -> float | None:
        """How many times faster than the reference in fp32; `None` for a variant that was not timed."""
        return self.seconds["reference"] / self.seconds[variant] if variant in self.seconds else None

    def row(self) -> dict[str, str]:
        pair = self.pair
        cells = {
            "model": pair.model,
            "reference": f"{pair.package} {pair.reference}",
            "clip": f"{pair.length}×{pair.size}×{pair.size}",
            "kind": pair.kind,
            "reference fp32, ms": milliseconds(self.seconds["reference"]),
        }
        for variant in ("fp32", "bf16"):
            ratio = self.ratio(variant)
            cells[f"ours {variant}, ms"] = milliseconds(self.seconds.get(variant))
            cells[f"ratio {variant}"] = significant(ratio) if ratio else ""
            difference = self.differences.get(variant)
            cells[f"logits off, {variant}"] = "" if difference is None else f"{difference:.0e}"
        return cells


def interleaved(variants: Variants, rounds: int, budget_s: float = math.inf) -> dict[str, float]:
    """Median time of each variant in seconds, after one warm-up each.

    Args:
        variants: What to time.
        rounds: How often each runs.
        budget_s: After so long no further round begins; one round is always run.
    """
    times: dict[str, list[float]] = {name: [] for name in variants}
    for run in variants.values():
        run()
    started = time.perf_counter()
    for _ in range(rounds):
        for name, run in variants.items():
            begun = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begun)
        if time.perf_counter() - started > budget_s:
            break
    return {name: median(taken) for name, taken in times.items()}


def ours(recogniser: Recogniser, clips: tuple[Tensor, ...], *, bf16: bool) -> Variants:
    """Our network as a `Predictor` runs it, by precision."""
    variants: Variants = {}
    for precision in ("fp32", "bf16") if bf16 else ("fp32",):
        compute = Compute("cpu", precision, channels_last=True)
        net = optimise_for_inference(recogniser, compute)

        def run(compute: Compute = compute, net: torch.nn.Module = net) -> Tensor:
            with compute.autocast():
                logits: Tensor = net(*clips)
            return logits

        variants[precision] = run
    return variants


@torch.inference_mode()
def compare(pair: Pair, *, batch: int, rounds: int, budget_s: float, bf16: bool) -> Latency:
    """Times, ratios and logit differences of one pair."""
    peer = pair.build()
    recogniser = import_state(peer.state_dict(), pair.model, layout=pair.package)
    frames = torch.randn(batch, pair.length, pair.size, pair.size, 3)  # as decoded: channels last in memory
    clip = frames.permute(0, 1, 4, 2, 3)
    variants = {"reference": pair.runner(peer, clip), **ours(recogniser, (clip,), bf16=bf16)}
    seconds = interleaved(variants, rounds, budget_s)
    wanted = variants["reference"]()
    differences = {
        key: float((run().float() - wanted).abs().max() / wanted.abs().max()) for key, run in variants.items()
    }
    return Latency(pair, seconds, differences)


def geometric_mean(values: list[float]) -> float | None:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def goals(latencies: list[Latency], native_bf16: bool) -> list[str]:
    """Of the 3D ResNets that were measured, and of all pairs' logits."""
    resnets = [latency for latency in latencies if latency.pair.kind == "3D ResNet"]
    fp32 = [ratio for latency in resnets if (ratio := latency.ratio("fp32"))]
    bf16 = [ratio for latency in resnets if (ratio := latency.ratio("bf16"))]
    many = f"{len(resnets)} 3D ResNets"
    lines = [
        goal(f"fp32, speed over the references, geometric mean of {many}", geometric_mean(fp32), 1.5),
        goal(f"fp32, speed over the reference, slowest of {many}", min(fp32, default=None), 1),
    ]
    what = f"bf16, speed over the references' fp32, geometric mean of {many}"
    lines.append(goal(what, geometric_mean(bf16), 3))
    if not native_bf16:
        lines[-1] += " (without native bf16)"
    worst = max((latency.differences["fp32"] for latency in latencies), default=None)
    lines.append(goal("fp32, largest relative difference of logits", worst, 1e-4, "", at_most=True))
    return lines


def main() -> None:
    models = [pair.model for pair in PAIRS]
    parser = command_line(__doc__)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget-s", type=float, default=8, help="no further round of a pair after so long")
    parser.add_argument("--threads", type=int, default=cpu_count())
    parser.add_argument("--models", nargs="+", default=models, choices=models, metavar="MODEL")
    parser.add_argument("--no-bf16", action="store_true", help="leave bf16 out")
    args = parser.parse_args()
    native = fast_precision("cpu") == "bf16"
    torch.set_num_threads(args.threads)
    wanted = [pair for pair in PAIRS if pair.model in args.models]
    here = [pair for pair in wanted if pair.installed]
    if not here:
        stop_without(wanted[0].package)
    latencies = []
    for pair in here:
        latencies.append(
            compare(pair, batch=args.batch, rounds=args.rounds, budget_s=args.budget_s, bf16=not args.no_bf16)
        )
        print(latencies[-1].row(), flush=True)
    notes = [] if native else [LEFT_OUT if args.no_bf16 else EMULATED]
    missing = sorted({pair.package for pair in wanted if not pair.installed})
    notes += [f"{package} is not installed: its models are left out" for package in missing]
    rows = [latency.row() for latency in latencies]
    finish("inference", "Latency of a clip against the references", parser, args, rows,
           goals(latencies, native), notes)  # fmt: skip


if __name__ == "__main__":
    main()
