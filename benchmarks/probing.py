"""Twelve probes trained at once on shared features, beside one.

    python -m benchmarks.probing

A run of probes decodes each clip and computes its features once; what is added by eleven more probes is
their own training. Timed are whole runs from videos to model file, in turn, each with a folder of features of
its own: a linear and an attentive probe on a frozen MoViNet-A0, on 16 small generated videos and on
UT-Interaction set 1 by recipes/ut_interaction_probe.yaml, and the probe of V-JEPA 2 with its block on a small
one. Weights are random: they change no time. Rows of UT-Interaction need KINESPHERE_TEST_DATA.
"""

from __future__ import annotations

import io
import os
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
        on_recording: Whether clips are those of UT-Interaction, with the settings of its recipe.
    """

    title: str
    model: str
    freeze: str
    settings: tuple[str, ...] = ()
    on_recording: bool = False


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
    Case("linear probe on MoViNet-A0, UT-Interaction", "movinet_a0_stream", "tail", on_recording=True),
    Case(
        "probe of two layers on MoViNet-A0, UT-Interaction",
        "movinet_a0_stream",
        "conv7",
        on_recording=True,
    ),
    Case(
        "attentive probe on MoViNet-A0, UT-Interaction",
        "movinet_a0_stream",
        "conv7",
        ("probe.kind=attentive", "model.freeze=null"),
        on_recording=True,
    ),
)
RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "ut_interaction_probe.yaml"
DATA = "KINESPHERE_TEST_DATA"
UT = Path("videos", "ut_interaction_set1", "labels.csv")


@dataclass(frozen=True)
class Material:
    """What probes learn from.

    Attributes:
        videos: Generated videos, or labels of UT-Interaction.
        epochs: Of the generated ones; the recipe has its own.
        rounds: How often one and twelve are timed in turn.
    """

    videos: Path
    epochs: int
    rounds: int

    def recipe(self, case: Case) -> Recipe:
        """Whole clips, a quarter of which chooses among the probes."""
        if case.on_recording:
            found = Recipe.load(RECIPE).override("model.pretrained=null", "data.cache=null")
        else:
            found = Recipe.build({"data": {"source": "x"}}).override(f"train.epochs={self.epochs}")
        return found.override(
            f"data.source={self.videos}", "data.val=0.25", "data.test=0", "test.views=1x1",
            f"model.name={case.model}", f"model.freeze={case.freeze}",
            "compute.device=cpu", "compute.precision=fp32", "compute.workers=0", "compute.threads=1",
            *case.settings,
        )  # fmt: skip


def seconds(
    case: Case, material: Material, folder: Path, rates: tuple[float, ...], decays: tuple[float, ...]
) -> float:
    """Processor seconds of a whole run of probes, from videos to model file."""
    recipe = material.recipe(case).override(
        f"probe.lr={list(rates)}", f"probe.weight_decay={list(decays)}", f"out={folder}"
    )
    began = time.process_time()
    train(recipe, console=Console(file=io.StringIO()))
    return time.process_time() - began


def measure(case: Case, material: Material, work: Path) -> dict[str, float]:
    """The least processor seconds of one probe and of twelve at once, measured in turn."""
    least: dict[str, float] = {}
    for number in range(material.rounds):
        for name, rates, decays in (("one", RATES[:1], DECAYS[:1]), ("twelve", RATES, DECAYS)):
            took = seconds(case, material, work / f"{name}-{number}", rates, decays)
            least[name] = min(took, least.get(name, took))
    return least


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--clips", type=int, default=16, help="generated videos, half of them of each class")
    parser.add_argument("--epochs", type=int, default=20, help="on generated videos")
    parser.add_argument("--rounds", type=int, default=2, help="on generated videos; one on UT-Interaction")
    args = parser.parse_args()
    rows: list[dict[str, str]] = []
    goals: list[str] = []
    labels = Path(os.environ.get(DATA, "")) / UT
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        two_classes(work / "videos", args.clips, FRAMES)
        generated = Material(work / "videos", args.epochs, args.rounds)
        # What is loaded once, whichever run is first.
        seconds(CASES[0], Material(work / "videos", 1, 1), work / "first", RATES[:1], DECAYS[:1])
        for number, case in enumerate(CASES):
            if case.on_recording and not labels.is_file():
                print(f"{case.title}: left out, since {DATA} names no folder with {UT}")
                continue
            material = Material(labels, 0, 1) if case.on_recording else generated
            least = measure(case, material, work / str(number))
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
            print(rows[-1], flush=True)
    notes = (
        (
            f"Where no data are named: {args.clips} generated videos, {args.epochs} epochs, batches of 16, "
            f"least of {args.rounds} rounds in turn. UT-Interaction set 1: 60 clips, of which a quarter "
            "validates, three views of each, 30 epochs, one round. Processor time with decoding and "
            "features, on one thread, so that no thread's waiting for another counts."
        ),
        (
            "V-JEPA 2's probe with its block is a transformer that learns from all tokens in each epoch; the "
            "encoder sees each clip once, and most of the time is the probes' own. 12 runs is twelve times "
            "the run of one."
        ),
        (
            "Attentive probes without blocks read the tokens of a batch together: they are normalised once, "
            "and all queries are one product. What is left is each probe's own: its perceptron (V-JEPA's "
            "probe has one behind its query), its gradients and its optimiser, which pass over 2.5 million "
            "numbers of each several times a step."
        ),
    )
    finish("probing", "Probes trained at once on shared features", parser, args, rows, goals, notes)


if __name__ == "__main__":
    main()
