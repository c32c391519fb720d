"""Twelve probes trained at once on shared features, beside one.

    python -m benchmarks.probing

A run of probes decodes each clip and computes its features once; what is added by eleven more probes is their
own training. Timed are whole runs from videos to model file, in turn, each with a folder of features of its
own: a linear and an attentive probe on a frozen MoViNet-A0, and the probe of V-JEPA 2 with its block on a
small one. Weights are random: they change no time.
"""

from __future__ import annotations

import io
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.record import command_line, finish, goal, significant
from benchmarks.videos import two_classes
from kinesphere.train import Recipe, train

RATES = (0.1, 0.03, 0.01, 0.003)
DECAYS = (0.0, 0.01, 0.1)
FRAMES = 48


@dataclass(frozen=True)
class Case:
    """A network and where it is cut.

    Attributes:
        title: For the table.
        model: Registered name.
        freeze: Last frozen stage.
        settings: Overrides of the recipe.
    """

    title: str
    model: str
    freeze: str
    settings: tuple[str, ...] = ()


CASES = (
    Case("linear probe on MoViNet-A0", "movinet_a0", "tail", ("clip.sampling=uniform16", "clip.size=128")),
    Case(
        "attentive probe on MoViNet-A0",
        "movinet_a0",
        "tail",
        ("clip.sampling=uniform16", "clip.size=128", "probe.kind=attentive"),
    ),
    Case(
        "attentive probe with a block on V-JEPA 2 of 12 blocks, width 96",
        "vjepa2_tiny",
        "norm",
        ("model.arguments={width: 96, depth: 12, heads: 3, patch: 16, pooler_depth: 1}", "clip.size=64"),
    ),
)


def seconds(
    case: Case, videos: Path, folder: Path, rates: tuple[float, ...], decays: tuple[float, ...], epochs: int
) -> float:
    """Processor seconds of a whole run of probes, from videos to model file."""
    recipe = Recipe.build({"data": {"source": str(videos), "val": 0.25, "test": 0}}).override(
        f"model.name={case.model}",
        f"model.freeze={case.freeze}",
        f"probe.lr={list(rates)}",
        f"probe.weight_decay={list(decays)}",
        f"train.epochs={epochs}",
        "compute.device=cpu",
        "compute.precision=fp32",
        "compute.workers=0",
        f"out={folder}",
        *case.settings,
    )
    began = time.process_time()
    train(recipe, console=Console(file=io.StringIO()))
    return time.process_time() - began


def measure(case: Case, videos: Path, work: Path, rounds: int, epochs: int) -> dict[str, float]:
    """The least processor seconds of one probe and of twelve at once, measured in turn."""
    least: dict[str, float] = {}
    seconds(case, videos, work / f"{case.model}-first", RATES[:1], DECAYS[:1], 1)  # what is loaded once
    for number in range(rounds):
        for name, rates, decays in (("one", RATES[:1], DECAYS[:1]), ("twelve", RATES, DECAYS)):
            took = seconds(case, videos, work / f"{case.model}-{name}-{number}", rates, decays, epochs)
            least[name] = min(took, least.get(name, took))
    return least


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--clips", type=int, default=16, help="videos, half of them of each class")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    rows: list[dict[str, str]] = []
    goals: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        two_classes(work / "videos", args.clips, FRAMES)
        for number, case in enumerate(CASES):
            least = measure(case, work / "videos", work / str(number), args.rounds, args.epochs)
            ratio = least["twelve"] / least["one"]
            rows.append(
                {
                    "probe": case.title,
                    "one probe, s": significant(least["one"]),
                    "12 at once, s": significant(least["twelve"]),
                    "12 at once / one": significant(ratio),
                    "12 runs / 12 at once": significant(12 * least["one"] / least["twelve"]),
                }
            )
            goals.append(goal(f"12 probes at once beside one, {case.title}", ratio, 1.3, at_most=True))
    lengths = f"{args.clips} generated videos, {args.epochs} epochs, batches of 16"
    notes = (
        f"{lengths}; processor time with decoding and features, least of {args.rounds} rounds in turn.",
        (
            "V-JEPA 2's probe with its block is a transformer that learns from all tokens in each epoch; the "
            "encoder sees each clip once, and most of the time is the probes' own. 12 runs is twelve times "
            "the run of one."
        ),
    )
    finish("probing", "Probes trained at once on shared features", parser, args, rows, goals, notes)


if __name__ == "__main__":
    main()
