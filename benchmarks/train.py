"""Training speed, decoding included: `kinesphere.train` beside the loop that one writes by hand.

    python -m benchmarks.train

Both train the same architecture from the same 320x240 H.264 videos of 4 s on clips of the same length
and size, sampled alike, with AdamW, a random crop and a random flip. The plain loop is what tutorials
show: OpenCV reads the video from its start to the last frame wanted, a `DataLoader` with one worker per
core hands over contiguous fp32 tensors. Clips per second are those of whole epochs after the first.
`cached` reads frames that the first epoch has decoded; `bf16` appears where the processor multiplies it
natively.
"""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch.utils.data import DataLoader, Dataset

from benchmarks.record import command_line, finish, goal, significant
from benchmarks.videos import two_classes
from kinesphere.clips import ClipSpec
from kinesphere.core.device import Compute, cpu_count, fast_precision
from kinesphere.data import Manifest
from kinesphere.models import card, create_model
from kinesphere.train import Recipe, train
from kinesphere.train.history import read_history

BATCH = 4
PLAIN = Compute("cpu", "fp32", channels_last=False)
FRAMES = 120


class PlainVideos(Dataset[tuple[torch.Tensor, int]]):
    """Contiguous float clips (C, T, H, W), decoded with OpenCV."""

    def __init__(self, manifest: Manifest, spec: ClipSpec) -> None:
        self.samples = [(str(s.path), t[0]) for s, t in zip(manifest, manifest.targets, strict=True)]
        self.sampling, self.side = spec.sampling, spec.size[0]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path, label = self.samples[index]
        video = cv2.VideoCapture(path)
        wanted = self.frame_numbers()
        frames = []
        for number in range(wanted[-1] + 1):
            ok, frame = video.read()
            if not ok:
                break
            if number in wanted:
                short = round(self.side * 8 / 7)
                frame = cv2.resize(frame, (round(short * 4 / 3), short))
                frames += [cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)] * wanted.count(number)
        video.release()
        clip = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2).float() / 255
        top = int(torch.randint(0, clip.shape[2] - self.side + 1, ()))
        left = int(torch.randint(0, clip.shape[3] - self.side + 1, ()))
        clip = clip[:, :, top : top + self.side, left : left + self.side]
        if torch.rand(()) < 0.5:
            clip = clip.flip(-1)
        return ((clip - 0.45) / 0.225).contiguous(), label

    def frame_numbers(self) -> list[int]:
        """One random frame of each segment, or a random run at the interval."""
        length = self.sampling.length
        if self.sampling.kind == "uniform":
            edges = torch.linspace(0, FRAMES, length + 1)
            return (edges[:-1] + torch.rand(length) * edges.diff()).long().tolist()
        reach = (length - 1) * self.sampling.interval + 1
        start = int(torch.randint(0, FRAMES - reach + 1, ()))
        return list(range(start, start + reach, self.sampling.interval))


def plain_clips_per_s(name: str, manifest: Manifest, epochs: int, compute: Compute = PLAIN) -> float:
    """Of the loop written by hand, over the epochs after the first."""
    dataset = PlainVideos(manifest, card(name).inputs[0])
    on_gpu = compute.device.startswith("cuda")
    size = min(16, len(dataset)) if on_gpu else BATCH
    loader = DataLoader(
        dataset, size, shuffle=True, num_workers=cpu_count(), persistent_workers=True, pin_memory=on_gpu
    )
    model = create_model(name, manifest.labels).train().to(compute.device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    began = time.perf_counter()
    for epoch in range(epochs + 1):
        if epoch == 1:
            began = time.perf_counter()
        for clips_BCTHW, labels in loader:
            clips = clips_BCTHW.transpose(1, 2).to(compute.device, non_blocking=True)
            with compute.autocast():
                logits = model(clips)
            loss = F.cross_entropy(logits.float(), labels.to(compute.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
    return epochs * len(dataset) / (time.perf_counter() - began)


def our_clips_per_s(name: str, videos: Path, out: Path, epochs: int, *overrides: str) -> float:
    """Of `kinesphere.train`, over the epochs after the first."""
    settings = {
        "data": {"source": str(videos), "val": 0, "test": 0},
        "model": {"name": name},
        "augment": {"preset": "light"},
        "train": {"epochs": epochs + 1, "batch_size": BATCH},
        "optimizer": {"lr": 1e-4},
        "compute": {"device": "cpu"},
        "log": {"tensorboard": False},
        "out": str(out),
    }
    recipe = Recipe.build(settings).override(*overrides)
    run = train(recipe, console=Console(file=io.StringIO()))
    rows = read_history(run.files.metrics)[1:]
    seconds = [row["seconds"] or 0.0 for row in rows]
    clips = [(row["clips_per_s"] or 0.0) * (row["seconds"] or 0.0) for row in rows]
    return sum(clips) / sum(seconds)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--models", nargs="+", default=["r3d_18", "kine_small"])
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=2, help="measured, after one that is not")
    args = parser.parse_args()
    rows: list[dict[str, str]] = []
    goals = []
    with tempfile.TemporaryDirectory() as scratch:
        videos = Path(scratch) / "videos"
        manifest = two_classes(videos, args.videos, FRAMES)
        for name in args.models:
            ways = {"plain loop": plain_clips_per_s(name, manifest, args.epochs)}
            runs = {"kinesphere fp32": ("compute.precision=fp32",)}
            if fast_precision("cpu") == "bf16":
                runs["kinesphere bf16"] = ("compute.precision=bf16",)
            runs["kinesphere, cached"] = (f"data.cache={scratch}/cache",)
            for number, (way, overrides) in enumerate(runs.items()):
                out = Path(scratch) / f"{name}-{number}"
                ways[way] = our_clips_per_s(name, videos, out, args.epochs, *overrides)
            for way, speed in ways.items():
                ratio = significant(speed / ways["plain loop"])
                rows.append({"model": name, "way": way, "clips/s": significant(speed), "ratio": ratio})
                print(f"{name}, {way}: {significant(speed)} clips/s", flush=True)
            best = max(ways, key=lambda way: ways[way])
            goals.append(
                goal(f"{name}, {best}, speed over the plain loop", ways[best] / ways["plain loop"], 2)
            )
    finish("train", "Training, decoding included", parser, args, rows, goals)


if __name__ == "__main__":
    main()
