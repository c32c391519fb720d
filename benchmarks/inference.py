"""Latency of our 3D ResNets against torchvision's, same weights, same clip, same run.

    python benchmarks/inference.py --out inference.json

torchvision is needed beside Kinesphere, in an environment of its own; its compiled operators are not used
(those it insists on declaring are declared here). Every variant runs in turn, round after round, and the
fastest round counts, so that other work on the machine does not favour one of them. bf16 is
timed where the processor multiplies it natively, otherwise only with `--force-bf16`, and said so.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from kinesphere.core.device import Compute, cpu_count, fast_precision
from kinesphere.models import import_state
from kinesphere.models.optimise import optimise_for_inference

MODELS = ("r3d_18", "mc3_18", "r2plus1d_18")


def reference(name: str, seed: int = 0) -> torch.nn.Module:
    """torchvision's network with random weights and batch norms that are not the identity."""
    for operator in ("nms", "qnms"):  # torchvision describes both on import, compiled or not
        if not hasattr(torch.ops.torchvision, operator):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    from torchvision.models import video

    torch.manual_seed(seed)
    net = getattr(video, name)().eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net


def interleaved(variants: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, float]:
    """Fastest time of each variant in milliseconds; one warm-up each."""
    best = dict.fromkeys(variants, float("inf"))
    for run in variants.values():
        run()
    for _ in range(rounds):
        for name, run in variants.items():
            begun = time.perf_counter()
            run()
            best[name] = min(best[name], (time.perf_counter() - begun) * 1e3)
    return best


@torch.inference_mode()
def compare(name: str, batch: int, rounds: int, bf16: bool) -> dict[str, object]:
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
    ms = interleaved(variants, rounds)
    wanted = peer(plain)
    differences = {
        key: float((run().float() - wanted).abs().max() / wanted.abs().max()) for key, run in variants.items()
    }
    return {
        "model": name,
        "batch": batch,
        "ms": {key: round(value, 1) for key, value in ms.items()},
        "ratio": {key: round(ms["torchvision"] / value, 2) for key, value in ms.items()},
        "logit_difference": differences,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=cpu_count())
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--force-bf16", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    native = fast_precision("cpu") == "bf16"
    torch.set_num_threads(options.threads)
    rows = []
    for name in options.models:
        rows.append(compare(name, options.batch, options.rounds, native or options.force_bf16))
        print(json.dumps(rows[-1]), flush=True)
    document = {"threads": options.threads, "torch": torch.__version__, "native_bf16": native, "rows": rows}
    if options.out:
        options.out.write_text(json.dumps(document, indent=1), encoding="utf-8")
    if not native:
        print(
            "This processor has no native bf16; "
            + ("its times are emulated." if options.force_bf16 else "not timed.")
        )


if __name__ == "__main__":
    main()
