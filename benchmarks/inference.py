"""Latency of our networks against the installed references, same weights, same clip, same run.

    python -m benchmarks.inference

torchvision and PyTorchVideo are needed beside Kinesphere, in an environment of their own; pairs whose
package is missing are left out and named. The reference's state goes through our importer, and the logits are
compared. OpenVINO, where it is installed, runs one network of each kind, converted from ours, with the same
number of threads, in fp32 and, where the processor has it, in bf16. Every variant runs in turn, round after
round, so that other work on the machine does not favour one of them, and the median counts.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from statistics import median

import torch
from torch import Tensor, nn

from benchmarks.peers import stop_without
from benchmarks.record import command_line, finish, goal, milliseconds, significant
from benchmarks.references import PAIRS, Pair
from kinesphere.core.device import Compute, cpu_count, fast_precision
from kinesphere.core.labels import LabelSet
from kinesphere.models import Recogniser, create_model, import_state
from kinesphere.models.runtime.inference import optimise_for_inference
from kinesphere.models.runtime.measure import input_shape

Variants = dict[str, Callable[[], Tensor]]
EMULATED = "This processor has no native bf16: oneDNN widens bf16 to fp32, so its times say little of others."

IN_THE_WAY = (
    "Where OpenVINO is faster, ours spends its time in X3D in bf16 between its operators (each of 115 "
    "convolutions costs about 40 µs besides computing, a quarter of the whole), in ResNets on frames in bf16 "
    "in the same and in max-pooling, in MViT in bf16 in the copies that join queries and keys with their "
    "relative positions and in depthwise convolutions, in Swin and VideoMAE in fp32 in PyTorch's attention, "
    "which reaches half the speed of oneDNN's products."
)
"""Found with `torch.profiler`, network by network."""

LEFT_OUT = "bf16 is left out: this processor has no native bf16."


OPENVINO = (
    "r3d_18", "slowfast_resnet50", "x3d_s", "ir_csn_50", "tsm_resnet50", "late_fusion_resnet50", "kine_small",
    "videomae_s", "timesformer", "video_swin_t", "mvit_v2_s",
)  # fmt: skip
ATTENTION = ("videomae_s", "timesformer", "video_swin_t", "mvit_v2_s")


@dataclass(frozen=True)
class Latency:
    """One model: seconds and largest relative difference of logits, by variant.

    Attributes:
        model: Our name.
        pair: The reference of another package with the same weights, if there is one.
        clip: Its size in words.
        seconds: By variant: `"reference"`, `"fp32"`, `"bf16"`, `"OpenVINO fp32"`, `"OpenVINO bf16"`.
        differences: To the reference's logits, or to those of our plain network.
    """

    model: str
    pair: Pair | None
    clip: str
    seconds: dict[str, float]
    differences: dict[str, float]

    @property
    def kind(self) -> str:
        return "other" if self.pair is None else self.pair.kind

    def ratio(self, variant: str, peer: str = "reference") -> float | None:
        """How many times as fast as a peer; `None` where one of both was not timed."""
        if not {variant, peer} <= self.seconds.keys():
            return None
        return self.seconds[peer] / self.seconds[variant]

    def row(self) -> dict[str, str]:
        cells = {
            "model": self.model,
            "reference": "" if self.pair is None else f"{self.pair.package} {self.pair.reference}",
            "clip": self.clip,
            "kind": self.kind,
            "reference fp32, ms": milliseconds(self.seconds.get("reference")),
        }
        for variant in ("fp32", "bf16"):
            openvino = f"OpenVINO {variant}"
            ratios = self.ratio(variant), self.ratio(variant, openvino)
            over_reference, over_openvino = ("" if ratio is None else significant(ratio) for ratio in ratios)
            cells[f"ours {variant}, ms"] = milliseconds(self.seconds.get(variant))
            cells[f"ratio {variant}"] = over_reference
            cells[f"logits off, {variant}"] = self._difference(variant)
            cells[f"{openvino}, ms"] = milliseconds(self.seconds.get(openvino))
            cells[f"ratio to {openvino}"] = over_openvino
            cells[f"logits off, {openvino}"] = self._difference(openvino)
        return cells

    def _difference(self, variant: str) -> str:
        difference = self.differences.get(variant)
        return "" if difference is None else f"{difference:.0e}"


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


def openvino(net: nn.Module, clips: tuple[Tensor, ...], *, bf16: bool) -> Variants:
    """A network converted by OpenVINO, by precision, with as many threads as torch has."""
    peer = import_module("openvino")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing: the sizes stay as they are
        converted = peer.convert_model(net, example_input=clips if len(clips) > 1 else clips[0])
    converted.reshape({port: list(clip.shape) for port, clip in zip(converted.inputs, clips, strict=True)})
    arrays = [clip.contiguous().numpy() for clip in clips]
    variants: Variants = {}
    for precision, hint in (("fp32", "f32"), ("bf16", "bf16"))[: 1 + bf16]:
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        compiled = peer.Core().compile_model(converted, "CPU", settings)
        variants[f"OpenVINO {precision}"] = lambda compiled=compiled: torch.from_numpy(compiled(arrays)[0])
    return variants


@torch.inference_mode()
def compare(model: str, pair: Pair | None, *, batch: int, rounds: int, budget_s: float, bf16: bool,
            with_openvino: bool) -> Latency:  # fmt: skip
    """Times, ratios and differences of logits of one model."""
    if pair is None:
        recogniser = fresh(model)
        clips = tuple(torch.randn(input_shape(spec, batch=batch)) for spec in recogniser.specs)
        variants: Variants = {}
        wanted = recogniser.net(*clips)
    else:
        peer = pair.build()
        recogniser = import_state(peer.state_dict(), model, layout=pair.package)
        frames = torch.randn(batch, pair.length, pair.size, pair.size, 3)  # as decoded: channels last
        clips = (frames.permute(0, 1, 4, 2, 3),)
        variants = {"reference": pair.runner(peer, clips[0])}
        wanted = variants["reference"]()
    variants |= ours(recogniser, clips, bf16=bf16)
    if with_openvino:
        variants |= openvino(recogniser.net, clips, bf16=bf16 and fast_precision("cpu") == "bf16")
    seconds = interleaved(variants, rounds, budget_s)
    differences = {
        key: float((run().float() - wanted).abs().max() / wanted.abs().max()) for key, run in variants.items()
    }
    _, length, _, height, width = clips[0].shape
    return Latency(model, pair, f"{length}×{height}×{width}", seconds, differences)


def fresh(name: str) -> Recogniser:
    """A model with random weights and 400 classes."""
    torch.manual_seed(0)
    return create_model(name, LabelSet(tuple(f"class_{i:03d}" for i in range(400))))


def geometric_mean(values: list[float]) -> float | None:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def goals(latencies: list[Latency], native_bf16: bool) -> list[str]:
    """Of the 3D ResNets that were measured, and of all pairs' logits."""
    resnets = [latency for latency in latencies if latency.kind == "3D ResNet"]
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
    for precision in ("fp32", "bf16"):
        for what, bound, chosen in (
            ("convolutional and tiny networks", 1.0, [x for x in latencies if x.model not in ATTENTION]),
            ("attention networks", 0.9, [x for x in latencies if x.model in ATTENTION]),
        ):
            ratios = {
                x.model: ratio for x in chosen if (ratio := x.ratio(precision, f"OpenVINO {precision}"))
            }
            slowest = min(ratios, key=ratios.__getitem__, default=None)
            name = "" if slowest is None else f" ({slowest})"
            text = f"{precision}, speed over OpenVINO, slowest of {len(ratios)} {what}{name}"
            lines.append(goal(text, None if slowest is None else ratios[slowest], bound))
    return lines


def main() -> None:
    pairs = {pair.model: pair for pair in PAIRS}
    models = [*pairs, *(model for model in OPENVINO if model not in pairs)]
    parser = command_line(__doc__)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget-s", type=float, default=8, help="no further round of a model after so long")
    parser.add_argument("--threads", type=int, default=cpu_count())
    parser.add_argument("--models", nargs="+", default=models, choices=models, metavar="MODEL")
    parser.add_argument("--no-bf16", action="store_true", help="leave bf16 out")
    args = parser.parse_args()
    native = fast_precision("cpu") == "bf16"
    torch.set_num_threads(args.threads)
    has_openvino = find_spec("openvino") is not None
    here = [model for model in args.models if _has_peer(model, pairs.get(model), has_openvino)]
    if not here:
        first = pairs.get(args.models[0])
        stop_without("openvino" if first is None else first.package)
    latencies = []
    for model in here:
        pair = pairs.get(model)
        latencies.append(
            compare(
                model, pair if pair is not None and pair.installed else None,
                batch=args.batch, rounds=args.rounds, budget_s=args.budget_s, bf16=not args.no_bf16,
                with_openvino=has_openvino and model in OPENVINO,
            )
        )  # fmt: skip
        print(latencies[-1].row(), flush=True)
    notes = [] if native else [LEFT_OUT if args.no_bf16 else EMULATED]
    missing = {pair.package for model in args.models if (pair := pairs.get(model)) and not pair.installed}
    notes += [f"{package} is not installed: its models are left out" for package in sorted(missing)]
    if has_openvino:
        notes.append(IN_THE_WAY)
    else:
        notes.append("openvino is not installed: it is not compared with")
    rows = [latency.row() for latency in latencies]
    finish("inference", "Latency of a clip against the references", parser, args, rows,
           goals(latencies, native), notes)  # fmt: skip


def _has_peer(model: str, pair: Pair | None, has_openvino: bool) -> bool:
    return (pair is not None and pair.installed) or (has_openvino and model in OPENVINO)


if __name__ == "__main__":
    main()
