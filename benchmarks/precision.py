"""Training in mixed precision beside fp32: the demo, and the first fold of both recipes that transfer.

    python -m benchmarks.precision [NAMES...] [--precisions fp32 bf16]

Each is one `kinesphere` command with `compute.precision` forced, run from the repository's root into
`runs/precision/`. The recipes need KINESPHERE_TEST_DATA.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import studies
from benchmarks.record import Row, command_line, finish
from benchmarks.studies import DATA, PRETRAINED, ROOT, STUDIES, commit
from kinesphere.data.split import Fold, kfold, leave_one_group_out
from kinesphere.evaluate.report import Report
from kinesphere.train import Recipe
from kinesphere.train.resolve import read_data

RUNS = "runs/precision"
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Work:
    """One thing to train.

    Attributes:
        what: For the table.
        recipe: File of the recipe; None is the demo.
        labels: Table of the recipe's data, below the folder of test data.
        folds: Number of folds of which the first is run; None leaves one group out.
    """

    what: str
    recipe: str | None = None
    labels: str = ""
    folds: int | None = None


WORKS = {
    "demo": Work("demo"),
    "ut": Work(
        "UT-Interaction, first fold", "recipes/ut_interaction_movinet.yaml",
        "videos/ut_interaction_set1/labels.csv",
    ),
    "fight": Work(
        "Surveillance fights, first of 5 folds", "recipes/surveillance_fight_movinet.yaml",
        "videos/surveillance_fight/labels.csv", 5,
    ),
}  # fmt: skip


def words(name: str, precision: str) -> list[str]:
    """What to type after `kinesphere`."""
    work, folder = WORKS[name], f"{RUNS}/{name}-{precision}"
    forced = f"compute.precision={precision}"
    if work.recipe is None:
        return ["demo", forced, f"--out={folder}", "--json"]
    table = first_fold(work, ROOT / RUNS / f"{name}.csv")
    data = [f"data.source={table}", "data.val=0", "data.test=test", f"data.cache={RUNS}/{name}-cache"]
    return ["train", work.recipe, *data, forced, f"out={folder}", "--json"]


def first_fold(work: Work, table: Path) -> Path:
    """Write the samples of the first fold, with their splits."""
    assert work.recipe is not None
    recipe = Recipe.load(ROOT / work.recipe, [f"data.source={Path(os.environ[DATA]) / work.labels}"])
    manifest = read_data(recipe.data)
    folds = kfold(manifest, work.folds, recipe.train.seed) if work.folds else leave_one_group_out(manifest)
    fold: Fold = folds[0]
    tested = {sample.id for sample in fold.test}
    splits = {sample.id: "test" if sample.id in tested else "train" for sample in manifest}
    table.parent.mkdir(parents=True, exist_ok=True)
    manifest.with_splits(splits).write(table, label_column=recipe.data.label_column)
    return table


def measure(name: str, precision: str) -> Row:
    """Train and score; a row of the table."""
    said_words = words(name, precision)
    begun = time.perf_counter()
    said = json.loads(studies.kinesphere(said_words))
    minutes = (time.perf_counter() - begun) / 60
    report = Report.from_json(said["report"])
    if report.environment.precision != precision:
        raise RuntimeError(f"{name} ran in {report.environment.precision}, not in {precision}")
    return {
        "work": WORKS[name].what,
        "precision": precision,
        "top-1": str(report.scores["top1"]),
        "macro-F1": str(report.scores["macro_f1"]),
        "clips": report.clips,
        "minutes": f"{minutes:.1f}",
    }


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAMES", help=f"of {', '.join(WORKS)}; default: all")
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=("fp32", "bf16", "fp16"))
    args = parser.parse_args()
    names = args.names or list(WORKS)
    unknown = [name for name in names if name not in WORKS]
    if unknown:
        parser.error(f"nothing to train is called {', '.join(unknown)}; there are {', '.join(WORKS)}")
    if any(WORKS[name].recipe for name in names):
        if DATA not in os.environ:
            parser.error(f"the recipes read real data; set {DATA} to its folder")
        studies.kinesphere(PRETRAINED)
    rows = [measure(name, precision) for name in names for precision in args.precisions]
    notes = [
        f"Code: {commit()}. The goal of the demo is {STUDIES['demo'].goal:.0%} in either precision.",
        "A fold is too small to tell precisions apart: read the intervals.",
    ]
    finish("precision", "Training in mixed precision", parser, args, rows, notes=notes)


if __name__ == "__main__":
    main()
