"""Heatmap volumes of poses: ours against the formulation joint by joint, same poses, same run.

    python -m benchmarks.heatmaps

The peer draws one Gaussian after the other into its window of the map, as the public code of PoseConv3D
does, written here anew in NumPy. Both run in turn on one thread, round after round, and the fastest round
counts. Memory is what a fresh process grew by, at most, from before its first pass (weights loaded) to after
the second, as the system counts it.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.record import command_line, finish, goal, milliseconds, significant
from kinesphere.clips.spec import Sampling
from kinesphere.models import create_model
from kinesphere.models.zoo.posec3d import COCO_LIMBS
from kinesphere.models.zoo.posec3d.heatmaps import SIGMA, PoseHeatmaps

LEAST_SCORE = 1e-4
JOINTS = 17


def joint_volume(people_TPJC: np.ndarray, size: tuple[int, int], sigma: float = SIGMA) -> np.ndarray:
    """Maps `(T, J, H, W)`, one Gaussian after the other; coordinates in pixels."""
    T, _, J, _ = people_TPJC.shape
    volume = np.zeros((T, J, *size), np.float32)
    for t in range(T):
        for j in range(J):
            for x, y, score in people_TPJC[t, :, j]:
                _draw_joint(volume[t, j], x, y, score, sigma)
    return volume


def limb_volume(
    people_TPJC: np.ndarray, limbs: Sequence[tuple[int, int]], size: tuple[int, int], sigma: float = SIGMA
) -> np.ndarray:
    """Maps `(T, L, H, W)`, one limb after the other; coordinates in pixels."""
    T = len(people_TPJC)
    volume = np.zeros((T, len(limbs), *size), np.float32)
    for t in range(T):
        for i, (start, end) in enumerate(limbs):
            for joints in people_TPJC[t]:
                _draw_limb(volume[t, i], joints[start], joints[end], sigma)
    return volume


def _cells(low: float, high: float, sigma: float, length: int) -> np.ndarray:
    """The cells of one axis from three standard deviations below to three above."""
    first, last = max(int(low - 3 * sigma), 0), min(int(high + 3 * sigma) + 1, length)
    return np.arange(first, last, 1, np.float32)


def _paint(canvas: np.ndarray, x: np.ndarray, y: np.ndarray, patch: np.ndarray) -> None:
    rows, columns = slice(int(y[0]), int(y[-1]) + 1), slice(int(x[0]), int(x[-1]) + 1)
    canvas[rows, columns] = np.maximum(canvas[rows, columns], patch)


def _draw_joint(canvas: np.ndarray, mean_x: float, mean_y: float, score: float, sigma: float) -> None:
    if score < LEAST_SCORE:
        return
    x = _cells(mean_x, mean_x, sigma, canvas.shape[1])
    y = _cells(mean_y, mean_y, sigma, canvas.shape[0])
    if len(x) and len(y):
        squared = (x - mean_x) ** 2 + (y[:, None] - mean_y) ** 2
        _paint(canvas, x, y, np.exp(-squared / 2 / sigma**2) * score)


def _draw_limb(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, sigma: float) -> None:
    score = min(start[2], end[2])
    if score < LEAST_SCORE:
        return
    a, b = start[:2], end[:2]
    squared_length = ((b - a) ** 2).sum()
    if squared_length < 1:
        _draw_joint(canvas, *a, start[2], sigma)
        return
    x = _cells(min(a[0], b[0]), max(a[0], b[0]), sigma, canvas.shape[1])
    y = _cells(min(a[1], b[1]), max(a[1], b[1]), sigma, canvas.shape[0])
    if len(x) and len(y):
        place = np.stack(np.meshgrid(x, y), -1)
        share = (((place - a) @ (b - a)) / squared_length).clip(0, 1)
        nearest = a + share[..., None] * (b - a)
        _paint(canvas, x, y, np.exp(-((place - nearest) ** 2).sum(-1) / 2 / sigma**2) * score)


def walkers(frames: int, people: int, size_px: int) -> np.ndarray:
    """Poses `(T, P, J, 3)` that fill most of the picture's height, as after cutting people out."""
    rng = np.random.default_rng(0)
    body = rng.uniform(0.1, 0.9, (1, people, JOINTS, 2)) * (0.4, 0.9) + (0.3, 0.0)
    sway = 0.05 * np.sin(np.linspace(0, 12, frames)[:, None, None, None] + rng.uniform(0, 6, body.shape))
    scores = rng.uniform(0.3, 1.0, (frames, people, JOINTS, 1))
    return np.concatenate([(body + sway) * size_px, scores], -1).astype(np.float32)


def fastest(variants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each variant's fastest round."""
    best = dict.fromkeys(variants, float("inf"))
    for _ in range(rounds):
        for name, run in variants.items():
            begun = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - begun)
    return best


MEMORY_FRAMES = 64
MEMORY_OF = ("volumes alone", "forward pass", "training step")


def grown(what: str, clips: int, size_px: int, threads: int) -> int:
    """Bytes that this process grows by, at most, while it makes volumes of clips or runs PoseC3D on them."""
    torch.set_num_threads(threads)
    sampling = Sampling("uniform", MEMORY_FRAMES)
    recogniser = create_model(
        "posec3d_slowonly_resnet50", [str(i) for i in range(60)], arguments={"size_px": size_px}
    )
    recogniser.train(what == "training step")
    (spec,) = (each.with_(sampling=sampling) for each in recogniser.specs)
    clip = torch.from_numpy(walkers(MEMORY_FRAMES, spec.people, 1))  # coordinates as shares of the picture
    batch = clip[None].expand(clips, *clip.shape).contiguous()
    before = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    for _ in range(2):
        if what == "training step":
            recogniser.zero_grad()
            recogniser(batch).logsumexp(-1).sum().backward()
            continue
        with torch.inference_mode():
            volumes = recogniser.net.get_submodule("heatmaps")(batch)
            if what == "forward pass":
                del volumes
                recogniser(batch)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before  # Linux counts KiB


def memory_note(clips: int, size_px: int, threads: int) -> str:
    """Peak memory of a batch, each measurement in a fresh process."""
    found = []
    for what in MEMORY_OF:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            held = pool.apply(grown, (what, clips, size_px, threads))
        found.append(f"{what} {significant(held / 2**20)} MiB")
    volume_mib = clips * MEMORY_FRAMES * JOINTS * size_px**2 * 4 / 2**20
    return (
        f"Peak memory of {clips} clips of {MEMORY_FRAMES} frames at {size_px}x{size_px} in fp32, whose "
        f"volumes hold {significant(volume_mib)} MiB: {', '.join(found)} (passes and steps of "
        "posec3d_slowonly_resnet50)."
    )


@torch.inference_mode()
def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--size", type=int, default=64, help="height and width of the maps")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1, help="of ours; the peer has one")
    parser.add_argument("--batch", type=int, default=4, help="clips whose memory is measured")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    poses = walkers(args.frames, args.people, args.size)
    batch, size = torch.from_numpy(poses)[None], (args.size, args.size)
    rows, goals = [], []
    for drawn, limbs in (("joints", None), ("limbs", COCO_LIMBS)):
        ours = PoseHeatmaps(size, limbs)

        def loop(limbs: Sequence[tuple[int, int]] | None = limbs) -> np.ndarray:
            return joint_volume(poses, size) if limbs is None else limb_volume(poses, limbs, size)

        seconds = fastest({"loop": loop, "ours": lambda ours=ours: ours(batch)}, args.rounds)
        ratio = seconds["loop"] / seconds["ours"]
        rows.append(
            {
                "drawn": drawn,
                "clip": f"{args.frames} frames, {args.people} people, {args.size}x{args.size}",
                "one by one, ms": milliseconds(seconds["loop"]),
                "ours, ms": milliseconds(seconds["ours"]),
                "ratio": significant(ratio),
                "largest difference": f"{np.abs(ours(batch)[0].numpy() - loop()).max():.0e}",
            }
        )
        goals.append(goal(f"speed over one {drawn[:-1]} after the other", ratio, 5))
    notes = [memory_note(args.batch, args.size, args.threads)]
    finish("heatmaps", "Heatmap volumes of poses", parser, args, rows, goals, notes)


if __name__ == "__main__":
    main()
