"""How many loader workers suit this machine: clips per second of training with each number.

    python -m benchmarks.loader

Trains a model on generated 320x240 H.264 videos, eight-frame clips of 112x112 and batches of four,
after a warm-up, with 0, 1, 2 … workers, decoding directly and from a filled frame cache. `waiting` is the
share of time in which the network waits for the next batch. It judges what `LoaderSettings.choose` takes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from benchmarks.decode import SOURCES, encode, pictures

from kinesphere.clips import MODALITIES, ClipSpec, Sampling
from kinesphere.clips.augment import preset
from kinesphere.core.device import Compute, cpu_count
from kinesphere.data import ClipDataset, FrameCache, Manifest, make_loader
from kinesphere.models import create_model

SPEC = ClipSpec(Sampling.parse("8x2x1"), (112, 112), short_side_px=128)
BATCH = 4


def write_videos(root: Path, count: int) -> Manifest:
    """`count` clips of 2 s in two classes."""
    source = next(source for source in SOURCES if source.size == (240, 320))
    for number in range(count):
        path = root / "ab"[number % 2] / f"{number}{source.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        encode(path, source, pictures(source.size, 60, seed=number))
    return Manifest.read(root)


def clips_of(manifest: Manifest, cache: FrameCache | None) -> ClipDataset:
    return ClipDataset(manifest, SPEC, train=True, augment=preset("standard"), cache=cache)


def measure(
    name: str, manifest: Manifest, workers: int, cache: FrameCache | None, steps: int
) -> dict[str, float]:
    """Clips per second and share of waiting over `steps` steps."""
    compute = Compute.choose("cpu")
    model = compute.place(create_model(name, manifest.labels))
    optimiser = torch.optim.SGD(model.parameters(), 0.01)
    loader = make_loader(clips_of(manifest, cache), BATCH, workers=workers)
    waited_s = began = 0.0
    done = epoch = 0
    while done < steps:
        loader.sampler.set_epoch(epoch)
        asked = time.perf_counter()
        for batch in loader:
            now = time.perf_counter()
            if done == 2:
                began, waited_s = now, 0.0
            waited_s += now - asked if done > 2 else 0.0
            clips = MODALITIES.get("rgb").normalise(batch.inputs[0][:, 0], SPEC)
            with compute.autocast():
                loss = F.cross_entropy(model(clips), batch.targets)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            done += 1
            asked = time.perf_counter()
            if done == steps:
                break
        epoch += 1
    took_s = time.perf_counter() - began
    return {"clips_per_s": (steps - 2) * BATCH / took_s, "waiting": waited_s / took_s}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare loader workers; see the module's docstring.")
    parser.add_argument("--model", default="r3d_18")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--json", type=Path, help="where to write the rows")
    args = parser.parse_args()
    rows = []
    print("| frames | workers | clips/s | waiting |\n|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as scratch:
        manifest = write_videos(Path(scratch) / "videos", 16)
        cache = FrameCache(Path(scratch) / "cache", 2**30)
        for frames, kept in (("decoded", None), ("cached", cache)):
            if kept is not None:
                list(
                    make_loader(
                        ClipDataset(manifest, SPEC, train=True, augment=preset("standard"), cache=kept), 4
                    )
                )
            for workers in range(cpu_count() + 1):
                row = measure(args.model, manifest, workers, kept, args.steps)
                rows.append({"frames": frames, "workers": workers, **row})
                print(
                    f"| {frames} | {workers} | {row['clips_per_s']:.2f} | {row['waiting']:.1%} |", flush=True
                )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
