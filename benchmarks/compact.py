"""Which small network learns movements fastest on a CPU? `kine_small` beside alternatives.

    python -m benchmarks.compact

Every candidate sees the same generated movements (twelve classes, among them pairs that differ in the
direction of time alone) and gets the same budget of CPU seconds for training; CPU time, so that other work
on the machine does not decide. Reported per candidate: parameters, multiply-adds, milliseconds of CPU per
clip of a training step, and accuracy on unseen performers and scenes after each quarter of the budget.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.record import command_line, finish, significant
from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.device import Compute
from kinesphere.data import Manifest
from kinesphere.models import create_model
from kinesphere.models.runtime.measure import count_multiply_adds, count_parameters
from kinesphere.synthetic import MannequinSettings, generate
from kinesphere.video import Video

LENGTH, SIZE, WIDTH = 16, 96, 128
CLASSES = 12
BATCH = 16

Clips = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Result:
    """One network's race: its cost, and test accuracy after each quarter of the budget."""

    name: str
    parameters: int
    multiply_adds: int
    cpu_s_per_clip: float
    epochs: float
    accuracies: tuple[float, ...]

    def row(self) -> dict[str, str]:
        quarters = {f"accuracy at {i + 1}/4": f"{value:.1%}" for i, value in enumerate(self.accuracies)}
        return {
            "network": self.name,
            "M params": significant(self.parameters / 1e6),
            "G multiply-adds": significant(self.multiply_adds / 1e9),
            "CPU ms per clip": significant(self.cpu_s_per_clip * 1e3),
            "epochs": f"{self.epochs:.1f}",
            **quarters,
        }


def read(manifest: Manifest) -> Clips:
    """Clips `(N, T, 3, SIZE, WIDTH)` uint8 in channels-last memory, and classes `(N,)`."""
    clips, targets = [], []
    for sample in manifest.samples:
        with Video.open(manifest.root / sample.path) as video:
            times = (np.arange(LENGTH) + 0.5) / LENGTH * (video.duration_s or 0.0)
            frames = video.frames_at(times, size=(SIZE, WIDTH)).data
        clips.append(torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 2, 3, 1))))
        targets.append(manifest.labels.index(sample.labels[0]))
    return torch.stack(clips).permute(0, 1, 4, 2, 3), torch.tensor(targets)


def augmented(clips: Tensor) -> Tensor:
    """One random crop, flip and light per batch, as floats in channels-last memory."""
    left = int(torch.randint(0, WIDTH - SIZE + 1, ()))
    x = floats(clips[..., left : left + SIZE])
    x = x.flip(-1) if torch.rand(()) < 0.5 else x
    x = x * (1 + 0.3 * (torch.rand(len(x), 1, 1, 1, 1) - 0.5)) + 0.4 * (torch.rand(len(x), 1, 3, 1, 1) - 0.5)
    return x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)


class Shift(nn.Module):
    """One eighth of the channels comes from the frame before, one eighth from the frame after."""

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        fold = x_BCTHW.shape[1] // 8
        past, future, rest = x_BCTHW.split([fold, fold, x_BCTHW.shape[1] - 2 * fold], 1)
        past = F.pad(past[:, :, :-1], (0, 0, 0, 0, 1, 0))
        future = F.pad(future[:, :, 1:], (0, 0, 0, 0, 0, 1))
        return torch.cat([past, future, rest], 1)


def norm(channels: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm3d(channels), nn.ReLU(inplace=True))


def conv(
    i: int, o: int, kernel: tuple[int, int, int], stride: tuple[int, int, int], groups: int = 1
) -> nn.Conv3d:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(i, o, kernel, stride, padding, groups=groups, bias=False)


def mix_3d(i: int, o: int, s: tuple[int, int, int]) -> nn.Module:
    return conv(i, o, (3, 3, 3), s)


def mix_2plus1d(i: int, o: int, s: tuple[int, int, int]) -> nn.Module:
    return nn.Sequential(conv(i, o, (1, 3, 3), (1, s[1], s[2])), norm(o), conv(o, o, (3, 1, 1), (s[0], 1, 1)))


def mix_shift(i: int, o: int, s: tuple[int, int, int]) -> nn.Module:
    return nn.Sequential(Shift(), conv(i, o, (1, 3, 3), s))


def mix_depthwise(i: int, o: int, s: tuple[int, int, int]) -> nn.Module:
    return nn.Sequential(
        conv(i, 2 * o, (1, 1, 1), (1, 1, 1)), norm(2 * o),
        conv(2 * o, 2 * o, (3, 3, 3), s, groups=2 * o), norm(2 * o), conv(2 * o, o, (1, 1, 1), (1, 1, 1)),
    )  # fmt: skip


Mix = Callable[[int, int, tuple[int, int, int]], nn.Module]


class Block(nn.Module):
    def __init__(self, mix: Mix, i: int, o: int, s: tuple[int, int, int]) -> None:
        super().__init__()
        self.body = nn.Sequential(mix(i, o, s), norm(o), mix(o, o, (1, 1, 1)), nn.BatchNorm3d(o))
        same = i == o and s == (1, 1, 1)
        self.short = nn.Identity() if same else nn.Sequential(conv(i, o, (1, 1, 1), s), nn.BatchNorm3d(o))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.short(x))


class Candidate(nn.Module):
    """Stem, four residual blocks, average, classifier; optionally with frame differences as input."""

    def __init__(self, mix: Mix, stem: str, widths: tuple[int, ...], *, difference: bool = False) -> None:
        super().__init__()
        self.difference = difference
        w, c = widths[0], 6 if difference else 3
        stems = {
            "pooled": lambda: nn.Sequential(
                conv(c, w, (3, 5, 5), (1, 2, 2)), norm(w), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
            ),
            "strided": lambda: nn.Sequential(conv(c, w, (5, 7, 7), (2, 4, 4)), norm(w)),
            "patch": lambda: nn.Sequential(nn.Conv3d(c, w, (2, 4, 4), (2, 4, 4), bias=False), norm(w)),
        }
        self.stem = stems[stem]()
        steps = [(1, 1, 1)] + [(2, 2, 2)] * 3
        inputs = (w, *widths[:-1])
        self.stages = nn.Sequential(*(Block(mix, *wsr) for wsr in zip(inputs, widths, steps, strict=True)))
        self.fc = nn.Linear(widths[-1], CLASSES)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        if self.difference:
            change = x_BTCHW[:, 1:] - x_BTCHW[:, :-1]
            x_BTCHW = torch.cat([x_BTCHW, F.pad(change, (0, 0, 0, 0, 0, 0, 1, 0)) * 2], 2)
        logits_BK: Tensor = self.fc(self.stages(self.stem(x_BTCHW.transpose(1, 2))).mean((2, 3, 4)))
        return logits_BK


def candidates() -> dict[str, Callable[[], nn.Module]]:
    """`kine_small` as registered, and its rivals."""
    wide, slim = (32, 64, 128, 256), (16, 32, 64, 128)

    def registered(name: str) -> Callable[[], nn.Module]:
        return lambda: create_model(name, [str(i) for i in range(CLASSES)]).net

    return {
        "kine_small": registered("kine_small"),
        "kine_small with frame differences": lambda: Candidate(mix_3d, "strided", slim, difference=True),
        "twice the width": lambda: Candidate(mix_3d, "strided", wide),
        "overlapping stem with pooling": lambda: Candidate(mix_3d, "pooled", slim),
        "patch stem, twice the width": lambda: Candidate(mix_3d, "patch", wide),
        "(2+1)D, twice the width": lambda: Candidate(mix_2plus1d, "strided", wide),
        "shifted 2D, twice the width": lambda: Candidate(mix_shift, "strided", wide),
        "depthwise 3D": lambda: Candidate(mix_depthwise, "strided", slim),
        "cnn_lstm": registered("cnn_lstm"),
    }


def floats(batch: Tensor) -> Tensor:
    return batch.float().div_(255).sub_(0.45).div_(0.225)


@torch.inference_mode()
def accuracy(net: nn.Module, test: Clips) -> float:
    """Share of centre crops that are classified rightly."""
    net.eval()
    left = (WIDTH - SIZE) // 2
    parts = zip(test[0].split(32), test[1].split(32), strict=True)
    hits = sum(int((net(floats(x[..., left : left + SIZE])).argmax(1) == y).sum()) for x, y in parts)
    net.train()
    return hits / len(test[1])


def race(name: str, build: Callable[[], nn.Module], seconds: float, train: Clips, test: Clips) -> Result:
    """Train for `seconds` of CPU time; test after each quarter."""
    torch.manual_seed(0)
    with torch.device("meta"):
        cost = build()
    spec = ClipSpec(Sampling("dense", LENGTH), size=(SIZE, SIZE))
    parameters, operations = count_parameters(cost), count_multiply_adds(cost, (spec,))
    net = Compute("cpu", "fp32", channels_last=True).place(build()).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.05)
    curve: list[float] = []
    spent, steps = 0.0, 0
    order = torch.empty(0, dtype=torch.int64)
    while spent < seconds:
        if len(order) < BATCH:
            order = torch.randperm(len(train[1]))
        pick, order = order[:BATCH], order[BATCH:]
        batch = augmented(train[0][pick])
        decay = 0.5 * (1 + math.cos(math.pi * spent / seconds))
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * min(1.0, (steps + 1) / 30) * (0.02 + 0.98 * decay)
        begun = time.process_time()
        loss = F.cross_entropy(net(batch), train[1][pick], label_smoothing=0.05)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        spent += time.process_time() - begun
        steps += 1
        while len(curve) < 4 and spent >= seconds * (len(curve) + 1) / 4:
            curve.append(accuracy(net, test))
    clips = steps * BATCH
    result = Result(name, parameters, operations, spent / clips, clips / len(train[1]), tuple(curve))
    print(result.row(), flush=True)
    return result


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--seconds", type=float, default=240.0, help="CPU seconds per candidate")
    parser.add_argument("--clips", type=int, default=60, help="generated clips per class")
    parser.add_argument("--data", type=Path, help="a generated manifest, in place of generating one")
    parser.add_argument("--only", nargs="+", choices=list(candidates()), help="networks to compare")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.data or generate(MannequinSettings(clips_per_class=args.clips, truth=False), Path(folder))
        manifest = Manifest.read(path)
        train = read(manifest.where(split="train"))
        held_out = [i for i, sample in enumerate(manifest.samples) if sample.split != "train"]
        test = read(manifest.select(held_out))
    chosen = {k: v for k, v in candidates().items() if not args.only or k in args.only}
    results = [race(name, build, args.seconds, train, test) for name, build in chosen.items()]
    best = max(results, key=lambda result: result.accuracies[-1])
    notes = [
        f"{len(train[1])} training and {len(test[1])} test clips of {CLASSES} movements; one run per network",
        f"most accurate at the end: {best.name}",
    ]
    title = f"Small networks after {args.seconds:g} s of CPU time"
    finish("compact", title, parser, args, [result.row() for result in results], notes=notes)


if __name__ == "__main__":
    main()
