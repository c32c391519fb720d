"""Who holds, carries and holds up what: facts from boxes and joints against the generator's.

    python -m benchmarks.objects [--recordings N]

Generated recordings of several people with things, as joints and boxes alone. Boxes and joints are the true
ones: measured is what the rules make of them, frame by frame and pair by pair.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.record import Row, command_line, finish
from kinesphere.annotations.formats.mot import read_mot
from kinesphere.clips.modalities.pose.file import SUFFIX, open_poses
from kinesphere.predict.events.facts import Fact
from kinesphere.predict.people import ObjectRules, object_facts
from kinesphere.predict.people.paths import people_and_objects
from kinesphere.synthetic import CROWD_CLASSES, MannequinSettings, generate_people

VERBS = ("holds", "carries", "holds up")


def counts_of(found: Iterable[Fact], true: Iterable[Fact], times: np.ndarray) -> dict[str, np.ndarray]:
    """Of each verb the frames that are right, added and missed, summed over pairs of person and thing."""
    given, annotated = _masks(found, times), _masks(true, times)
    counts = {verb: np.zeros(3, np.int64) for verb in VERBS}
    nothing = np.zeros(len(times), bool)
    for key in given.keys() | annotated.keys():
        one, other = given.get(key, nothing), annotated.get(key, nothing)
        counts[key[0]] += ((one & other).sum(), (one & ~other).sum(), (other & ~one).sum())
    return counts


_Pair = tuple[str, int | None, int | None]


def _masks(facts: Iterable[Fact], times: np.ndarray) -> dict[_Pair, np.ndarray]:
    masks: dict[_Pair, np.ndarray] = {}
    for fact in facts:
        verb = next(
            (each for each in sorted(VERBS, key=len)[::-1] if fact.label.startswith(f"{each} ")), None
        )
        if verb is not None and fact.other is not None:
            mask = masks.setdefault((verb, fact.person, fact.other), np.zeros(len(times), bool))
            mask |= (times >= fact.start_s) & (times < fact.end_s)
    return masks


def scores_of(counts: np.ndarray) -> dict[str, str]:
    """Cells of a table from frames that are right, added and missed."""
    right, added, missed = counts.tolist()
    return {
        "F1": f"{200 * right / max(2 * right + added + missed, 1):.1f} %",
        "precision": f"{100 * right / max(right + added, 1):.1f} %",
        "recall": f"{100 * right / max(right + missed, 1):.1f} %",
        "frames": str(right + missed),
    }


def measure(root: Path, recordings: int) -> list[Row]:
    """A row for each verb, by joints and by boxes alone."""
    settings = MannequinSettings(
        classes=CROWD_CLASSES, size=(480, 640), fps=25, seed=88, performers=40, scenes=24
    )
    generate_people(settings, root, count=recordings, joints_only=True, workers=1)
    with (root / "facts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sums = {(by, verb): np.zeros(3, np.int64) for by in ("joints", "boxes alone") for verb in VERBS}
    for path in dict.fromkeys(row["path"] for row in rows):
        true = [_fact(row) for row in rows if row["path"] == path]
        poses = open_poses(root / path)
        name = Path(path).name.removesuffix(SUFFIX)
        people, things = people_and_objects(read_mot(root / "tracks" / name / "gt" / "gt.txt"))
        for by, known in (("joints", poses), ("boxes alone", None)):
            found = object_facts(people, things, poses.times, settings.size, known)
            for verb, counts in counts_of(found, true, poses.times).items():
                sums[by, verb] += counts
    return [{"by": by, "fact": verb, **scores_of(counts)} for (by, verb), counts in sums.items()]


def _fact(row: Mapping[str, str]) -> Fact:
    other = int(row["other"]) if row["other"] else None
    return Fact(row["label"], float(row["start"]), float(row["end"]), int(row["person"]), other)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--recordings", type=int, default=6)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows: Sequence[Row] = measure(Path(folder), args.recordings)
    drawn = f"{args.recordings} generated recordings with true boxes, around all of each, and true joints"
    chosen = "the pace and that the nearest hand holds were chosen on other recordings of the generator"
    notes = [
        drawn,
        f"Rules: {ObjectRules()}; {chosen}",
        "The generator says `carries` of walking and running with a thing in the hand",
    ]
    finish("objects", "People and objects: holds, carries, holds up", parser, args, rows, [], notes)


if __name__ == "__main__":
    main()
