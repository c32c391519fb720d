"""How many loader workers suit this machine: clips per second of training with each number.

    python -m benchmarks.loader

Trains a model on generated 320x240 H.264 videos, eight-frame clips of 112x112 and batches of four,
after a warm-up, with 0, 1, 2 … workers, decoding directly and from a filled frame cache. `waiting` is the
share of time in which the network waits for the next batch. Last, what `LoaderSettings.choose` takes is
held against the best number.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.record import command_line, finish, significant
from benchmarks.videos import two_classes
from kinesphere.clips import MODALITIES, ClipSpec, Sampling
from kinesphere.clips.augment.settings import preset
from kinesphere.core.device import Compute, cpu_count
from kinesphere.data import ClipDataset, FrameCache, Manifest, Opening, make_loader
from kinesphere.data.loader import LoaderSettings
from kinesphere.models import create_model

VIDEOS = 16
FRAMES = 60
SPEC = ClipSpec(Sampling.parse("8x2x1"), (112, 112), short_side_px=128)
BATCH = 4


def clips_of(manifest: Manifest, cache: FrameCache | None) -> ClipDataset:
    return ClipDataset(manifest, SPEC, train=True, augment=preset("standard"), opening=Opening(cache=cache))


def measure(
    name: str, manifest: Manifest, workers: int, cache: FrameCache | None, steps: int
) -> tuple[float, float]:
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
    return (steps - 2) * BATCH / took_s, waited_s / took_s


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--model", default="r3d_18")
    parser.add_argument("--steps", type=int, default=12)
    args = parser.parse_args()
    chosen = LoaderSettings.choose().workers
    rows, notes = [], []
    with tempfile.TemporaryDirectory() as scratch:
        manifest = two_classes(Path(scratch) / "videos", VIDEOS, FRAMES)
        cache = FrameCache(Path(scratch) / "cache", 2**30)
        list(make_loader(clips_of(manifest, cache), BATCH))
        for frames, kept in (("decoded", None), ("cached", cache)):
            speeds = []
            for workers in range(cpu_count() + 1):
                speed, waiting = measure(args.model, manifest, workers, kept, args.steps)
                speeds.append(speed)
                row = {"frames": frames, "workers": workers, "clips/s": significant(speed)}
                rows.append(row | {"waiting": f"{waiting:.1%}"})
                print(row, flush=True)
            share = speeds[min(chosen, cpu_count())] / max(speeds)
            notes.append(f"{frames}: {chosen} workers, taken by default, reach {share:.0%} of the best speed")
    finish("loader", "Loader workers", parser, args, rows, notes=notes)


if __name__ == "__main__":
    main()
