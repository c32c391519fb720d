"""Networks on a GPU: inference and training step beside the installed references, and whole epochs.

    python -m benchmarks.gpu                                # about five minutes on one CUDA device
    python -m benchmarks.gpu --tiny --device cpu --no-record --budget-s 0     # the script checks itself

Every network runs under bf16 autocast, ours and the reference's alike, on random clips of the same size in
the same run: eager and compiled (`torch.compile`, default mode). In eager mode the reference runs contiguous,
as its package gives it, and with channels-last convolutions; the ratio is against the faster. A training step
is forward, cross-entropy, backward and AdamW, fused on a GPU. The share of the roofline is the least time of
the operators (`benchmarks/roofline.py`) over the time taken. Epochs include the decoding of 320x240 H.264
videos: ours by `kinesphere.train`, the plain loop as in `benchmarks.train`. What `--budget-s` left uncompiled
is named.
"""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.record import command_line, finish, goal, machine, milliseconds, significant
from benchmarks.references import reference_of
from benchmarks.roofline import Ceilings, LeastTime, median_seconds
from benchmarks.train import our_clips_per_s, plain_clips_per_s
from benchmarks.videos import two_classes
from benchmarks.zoo import example, fresh
from kinesphere.core.bf16_convolution import sound_convolutions
from kinesphere.core.device import Compute, weights_to_channels_last
from kinesphere.data import Manifest
from kinesphere.models.runtime.inference import optimise_for_inference

Job = Literal["inference", "training step"]
JOBS: tuple[Job, ...] = ("inference", "training step")
EpochsWay = Literal["plain loop", "kinesphere", "kinesphere, cached"]
EPOCHS: tuple[EpochsWay, ...] = get_args(EpochsWay)
CLASSES = 400
TITLE = "Networks on a GPU"
COLUMNS = ("model", "job", "way", "clips", "ms", "clips/s", "ratio", "of the roofline", "memory, MiB")


@dataclass(frozen=True)
class Case:
    """One network, and how many clips fill the device in inference and in a training step."""

    model: str
    batch: int
    training_batch: int


CASES = (
    Case("r3d_18", 128, 64),
    Case("slowfast_resnet50", 32, 16),
    Case("x3d_m", 64, 32),
    Case("videomae_b", 32, 16),
    Case("posec3d_slowonly_resnet50", 64, 32),
)
TINY = (Case("r3d_tiny", 2, 2), Case("posec3d_tiny", 2, 2))


@dataclass(frozen=True)
class Way:
    """One way to run a network: whose it is, in which layout (ours: as placed), compiled or not."""

    who: Literal["ours", "reference"]
    layout: Literal["as placed", "channels last", "contiguous"]
    compiled: bool

    def __str__(self) -> str:
        return f"{self.who}, {'compiled' if self.compiled else self.layout}"


WAYS = (
    Way("ours", "as placed", False),
    Way("reference", "contiguous", False),
    Way("reference", "channels last", False),
    Way("ours", "as placed", True),
    Way("reference", "channels last", True),
)


@dataclass(frozen=True)
class Timing:
    """What one way took: seconds and MiB of a call, and the least seconds of its operators."""

    case: Case
    job: Job
    way: Way
    clips: int
    seconds: float
    memory_mib: float
    least_s: float


@dataclass
class Run:
    """Settings of this run, and what it has measured."""

    compute: Compute
    ceilings: Ceilings
    rounds: int
    compile_until: float
    timings: list[Timing] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def measure(self, case: Case, job: Job) -> None:
        """Time one job of one network in all ways that can be had."""
        least: dict[str, float] = {}
        for way in WAYS:
            if way.who == "reference" and reference_of(case.model) is None:
                continue
            if way.compiled and time.monotonic() > self.compile_until:
                self.left_out.append(f"{case.model}, {job}, {way}")
                continue
            clips = case.batch if job == "inference" else case.training_batch
            call = (inference if job == "inference" else training_step)(case, way, clips, self.compute)
            if not way.compiled:
                with LeastTime(self.ceilings) as counter:
                    call()
                least[way.who] = min(counter.seconds, least.get(way.who, counter.seconds))
            seconds = median_seconds(call, self.compute.device, rounds=self.rounds)
            memory = peak_mib(call, self.compute.device)
            self.timings.append(Timing(case, job, way, clips, seconds, memory, least[way.who]))
            print(self.row(self.timings[-1]), flush=True)
            del call
            release(self.compute.device)

    def row(self, timing: Timing) -> dict[str, str]:
        """One row of the record; the ratio is how many times faster than the reference's best eager way."""
        ratio = self.ratio(timing)
        return {
            "model": timing.case.model,
            "job": timing.job,
            "way": str(timing.way),
            "clips": str(timing.clips),
            "ms": milliseconds(timing.seconds),
            "clips/s": significant(timing.clips / timing.seconds),
            "ratio": "" if ratio is None else significant(ratio),
            "of the roofline": f"{timing.least_s / timing.seconds:.0%}",
            "memory, MiB": f"{timing.memory_mib:.0f}" if timing.memory_mib else "",
        }

    def ratio(self, timing: Timing) -> float | None:
        peers = [
            other.seconds
            for other in self.timings
            if (other.case, other.job) == (timing.case, timing.job)
            and other.way.who == "reference"
            and not other.way.compiled
        ]
        return min(peers) / timing.seconds if peers else None

    def goals(self) -> Iterator[str]:
        """Ours against the best that the reference reaches, eager against eager."""
        for timing in self.timings:
            ratio = self.ratio(timing)
            if timing.way == WAYS[0] and ratio is not None:
                yield goal(f"{timing.case.model}, {timing.job}, eager, over the reference", ratio, 1)


def inference(case: Case, way: Way, clips: int, compute: Compute) -> Callable[[], object]:
    """Forward passes of a batch, as a `Predictor` runs ours."""
    net, forward = network(case, way, clips, compute, training=False)

    @torch.inference_mode()
    def call() -> object:
        with compute.autocast():
            return forward(net)

    return call


def training_step(case: Case, way: Way, clips: int, compute: Compute) -> Callable[[], object]:
    """Forward, cross-entropy, backward and an update."""
    net, forward = network(case, way, clips, compute, training=True)
    on_gpu = torch.device(compute.device).type == "cuda"
    optimizer = torch.optim.AdamW(net.parameters(), 1e-4, fused=on_gpu)
    labels = torch.arange(clips, device=compute.device) % CLASSES

    def call() -> object:
        with compute.autocast(), sound_convolutions(compute.device):
            logits = forward(net)
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return call


def network(
    case: Case, way: Way, clips: int, compute: Compute, *, training: bool
) -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """The network of a way on the device, and a call of it on so many clips that gives logits."""
    recogniser = fresh(case.model)
    batch = tuple(torch.cat([example(spec)] * clips).to(compute.device) for spec in recogniser.specs)
    if way.who == "ours":
        prepared = (
            compute.place(recogniser.train()) if training else optimise_for_inference(recogniser, compute)
        )
        return _compiled(prepared, way), lambda net: net(*batch)
    reference = reference_of(case.model)
    assert reference is not None
    net = reference.build().train(training).to(compute.device)
    channels_last = way.layout == "channels last"
    if channels_last:
        weights_to_channels_last(net)
    arranged = reference.arrange(batch[0], channels_last=channels_last)
    return _compiled(net, way), lambda net: reference.call(net, arranged)


def _compiled(net: nn.Module, way: Way) -> nn.Module:
    return torch.compile(net) if way.compiled else net  # type: ignore[return-value]


@torch.inference_mode()
def logits_off(case: Case, compute: Compute) -> float:
    """Largest difference of prepared logits on the device to plain fp32 ones on the CPU, relative."""
    recogniser = fresh(case.model)
    inputs = tuple(torch.cat([example(spec)] * 2) for spec in recogniser.specs)
    wanted = recogniser(*inputs)
    net = optimise_for_inference(recogniser, compute)
    with compute.autocast():
        got = net(*(x.to(compute.device) for x in inputs)).float().cpu()
    return float((got - wanted).abs().max() / wanted.abs().max())


def epochs(
    compute: Compute, models: tuple[str, ...], videos: int, count: int, limit_s: int
) -> list[dict[str, str]]:
    """Clips per second of whole epochs, decoding included, ours and by the plain loop.

    Each is measured in a process of its own that is ended, with a traceback, after `limit_s` seconds.
    """
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        two_classes(Path(scratch) / "videos", videos, frames=120)
        for model in models:
            speeds = {
                way: _apart(Epochs(way, model, Path(scratch), compute, count), limit_s) for way in EPOCHS
            }
            plain = speeds["plain loop"]
            for way, speed in speeds.items():
                row = dict.fromkeys(COLUMNS, "")
                row |= {"model": model, "job": "epochs with decoding", "way": way}
                row["clips/s"] = significant(speed) if speed else f"not done in {limit_s} s"
                row["ratio"] = significant(speed / plain) if speed and plain else ""
                print(row, flush=True)
                rows.append(row)
    return rows


@dataclass(frozen=True)
class Epochs:
    """Whole epochs to measure, in which way, on the videos in a folder."""

    way: EpochsWay
    model: str
    scratch: Path
    compute: Compute
    count: int

    def clips_per_s(self, limit_s: int) -> float:
        """Of the epochs after the first."""
        faulthandler.dump_traceback_later(limit_s, exit=True)
        videos = self.scratch / "videos"
        if self.way == "plain loop":
            speed = plain_clips_per_s(self.model, Manifest.read(videos), self.count, self.compute)
        else:
            settings = [f"compute.device={self.compute.device}", "train.batch_size=16"]
            settings.append(f"compute.precision={self.compute.precision}")
            if self.way == "kinesphere, cached":
                settings.append(f"data.cache={self.scratch / 'cache'}")
            out = self.scratch / f"{self.model} {self.way}"
            speed = our_clips_per_s(self.model, videos, out, self.count, *settings)
        faulthandler.cancel_dump_traceback_later()
        return speed


def _apart(job: Epochs, limit_s: int) -> float | None:
    """What a fresh process measures; None where it does not end in time."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(job.clips_per_s, limit_s).result()
        except BrokenProcessPool:
            return None


def peak_mib(call: Callable[[], object], device: str) -> float:
    """Largest memory of a call on the device; 0 where the device does not tell."""
    if torch.device(device).type != "cuda":
        return 0.0
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) / 2**20


def release(device: str) -> None:
    """Forget compiled code and give memory back, so that one network does not weigh on the next."""
    gc.collect()
    torch.compiler.reset()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


def device_name(device: str) -> str:
    if torch.device(device).type != "cuda":
        return machine()
    return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}; {machine()}"


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--budget-s", type=float, default=200, help="nothing is compiled after so long")
    parser.add_argument("--videos", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=1, help="measured, after one that is not")
    parser.add_argument("--limit-s", type=int, default=60, help="for the epochs of one network in one way")
    parser.add_argument("--tiny", action="store_true", help="smallest networks, one epoch")
    args = parser.parse_args()
    begun = time.monotonic()
    compute = Compute.choose(args.device, "bf16")
    ceilings = Ceilings.measure(
        compute.device,
        torch.bfloat16,
        side=256 if args.tiny else 8192,
        copied_mib=8 if args.tiny else 2048,
    )
    cases = TINY if args.tiny else CASES
    run = Run(compute, ceilings, args.rounds, begun + args.budget_s)
    for case in cases:
        for job in JOBS:
            run.measure(case, job)
    peak, bandwidth = ceilings.flops_per_s / 1e12, ceilings.bytes_per_s / 1e12
    off = ", ".join(f"{case.model} {logits_off(case, compute):.1e}" for case in cases)
    notes = [
        f"Measured on {device_name(compute.device)}.",
        f"Ceilings measured in this run: {peak:.3g} TFLOP/s in bf16, {bandwidth:.3g} TB/s.",
        f"Logits in bf16 against fp32 on the CPU, largest relative difference: {off}.",
        *(f"{package} is not installed: its networks are left out" for package in missing(cases)),
    ]
    if run.left_out:
        notes.append(f"Not compiled for want of time: {'; '.join(run.left_out)}.")
    rows, goals = list(map(run.row, run.timings)), list(run.goals())
    finish("gpu", TITLE, parser, args, rows, goals, notes)  # kept, should an epoch take the machine down
    models, videos = (("fc_tiny",), 4) if args.tiny else (("r3d_18", "kine_small"), args.videos)
    rows += epochs(compute, models, videos, args.epochs, args.limit_s)
    finish("gpu", TITLE, parser, args, rows, goals, notes)


def missing(cases: tuple[Case, ...]) -> list[str]:
    """Packages of references that are not here."""
    wanted = {"torchvision", "pytorchvideo", "transformers"} if cases is CASES else set()
    return sorted(package for package in wanted if find_spec(package) is None)


if __name__ == "__main__":
    main()
