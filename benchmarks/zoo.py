"""Latency of the models on the clips of their cards, batch 1, random weights: the column in docs/models.md.

    python -m benchmarks.zoo

Nothing is compared here; `benchmarks.inference` holds models against references in one run. The median of the
rounds counts; a model that takes longer than `--budget-s` is timed once after its warm-up.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.inference import EMULATED, LEFT_OUT, fresh, interleaved, ours
from benchmarks.record import command_line, finish, milliseconds
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.device import cpu_count, fast_precision
from kinesphere.models import card, list_models
from kinesphere.models.runtime.measure import input_shape


def example(spec: ClipSpec) -> Tensor:
    """One clip under a contract; pictures are channels last in memory, as decoded."""
    shape = input_shape(spec)
    if len(shape) != 5 or spec.modality == "pose":
        return torch.rand(shape)
    batch, length, channels, height, width = shape
    return torch.randn(batch, length, height, width, channels).permute(0, 1, 4, 2, 3)


@torch.inference_mode()
def measure(name: str, *, rounds: int, budget_s: float, bf16: bool) -> dict[str, str]:
    """One row of the record."""
    recogniser = fresh(name)
    clips = tuple(example(spec) for spec in recogniser.specs)
    seconds = interleaved(ours(recogniser, clips, bf16=bf16), rounds, budget_s)
    return {
        "model": name,
        "fp32, ms": milliseconds(seconds["fp32"]),
        "bf16, ms": milliseconds(seconds.get("bf16")),
    }


def main() -> None:
    models = list_models()
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget-s", type=float, default=1, help="no further round of a model after so long")
    parser.add_argument(
        "--largest", type=float, default=100, help="leave out models of more billion multiply-adds"
    )
    parser.add_argument("--threads", type=int, default=cpu_count())
    parser.add_argument("--models", nargs="+", default=models, choices=models, metavar="MODEL")
    parser.add_argument("--no-bf16", action="store_true", help="leave bf16 out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    left_out = [name for name in args.models if card(name).multiply_adds > args.largest * 1e9]
    for name in (name for name in args.models if name not in left_out):
        rows.append(measure(name, rounds=args.rounds, budget_s=args.budget_s, bf16=not args.no_bf16))
        print(rows[-1], flush=True)
    notes = [] if fast_precision("cpu") == "bf16" else [LEFT_OUT if args.no_bf16 else EMULATED]
    if left_out:
        notes.append(f"Not timed, with more than {args.largest:g} G multiply-adds: {', '.join(left_out)}.")
    finish("zoo", "Latency of the models", parser, args, rows, notes=notes)


if __name__ == "__main__":
    main()
