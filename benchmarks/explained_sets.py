"""Explanations of real videos: is heat on people, is it true, and what does the background decide?

    python -m benchmarks.explained_sets [--runs FOLDER] [--clips N] [--maps N] [--pictures FOLDER]

The first fold of UT-Interaction (pixels, and joints of the same people) and of the surveillance fights
(pixels), by their recipes, on their test clips. What the runs folder lacks (poses, masks, trained models) is
made first, which takes long; what is there is used, and the same command goes on where it stopped. Needs
KINESPHERE_TEST_DATA. Figures are kept, frames are not: --pictures writes the sheets of all explained clips
elsewhere, to be looked at.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import studies
from benchmarks.precision import WORKS, first_fold
from benchmarks.record import Row, command_line, finish, table, write_record
from benchmarks.studies import DATA, PRETRAINED, ROOT, commit
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.device import Compute
from kinesphere.data import Manifest
from kinesphere.data.sample import Sample
from kinesphere.explain import Question, Settings, explain
from kinesphere.explain.faithfulness import Curve, Faithfulness, Work
from kinesphere.explain.render.sheet import sheet
from kinesphere.predict import FusedPredictor, Opening, Predictor, VideoPredictor, load
from kinesphere.studies.background import ModelStudy, study_background
from kinesphere.studies.people import OnPeopleShare, share_on_people

WORK = Work(grid=(4, 7, 7), steps=7, rankings=6)
SETTINGS = Settings(steps=16)
COMMAND = "python -m benchmarks.explained_sets"
CONDITIONS = (
    "as_it_is",
    "people_on_mean",
    "no_people",
    "holes",
    "holes_elsewhere",
    "frozen",
    "shuffled",
    "swapped",
)


@dataclass(frozen=True)
class Explained:
    """One model of a set, with the methods that it is explained by.

    Attributes:
        name: Of its run, below the runs folder; the part before `_` names the set.
        what: For the tables.
        recipe: What it is trained by.
        methods: Names of methods.
        poses: Whether it sees joints, which are extracted first.
    """

    name: str
    what: str
    recipe: str
    methods: tuple[str, ...]
    poses: bool = False


PIXELS = ("gradcam", "integrated_gradients")
MODELS = (
    Explained("ut_rgb", "MoViNet-A0 on pixels", "recipes/ut_interaction_movinet.yaml", PIXELS),
    Explained("ut_pose", "DD-Net on joints", "recipes/ut_interaction_pose.yaml",
              ("gradient_x_input", "integrated_gradients", "limb_occlusion"), poses=True),
    Explained("fight_rgb", "MoViNet-A0 on pixels", "recipes/surveillance_fight_movinet.yaml", PIXELS),
)  # fmt: skip


def prepare(runs: Path, each: Explained, clips: int) -> None:
    """Make what the runs folder lacks of a model: the table of its fold, masks, poses, the trained model."""
    name = each.name.partition("_")[0]
    data, extracts = runs / f"{name}.csv", runs / f"{name}_extracts"
    if not data.is_file():
        first_fold(WORKS[name], data)
    tested = runs / f"{name}_test.csv"
    if not tested.is_file():
        spread(Manifest.read(data).where(split="test"), clips).write(tested)
    finder = ["--model=DATA/weights/pose_landmarker_lite.task", f"--out={extracts}"]
    studies.kinesphere(["extract", "mask", str(tested), *finder])
    if each.poses:
        studies.kinesphere(["extract", "pose", str(data), *finder])
    if (runs / each.name / "model.safetensors").is_file():
        return
    if each.name.endswith("_rgb"):
        studies.kinesphere(PRETRAINED)
    words = [f"data.source={data}", "data.val=0", "data.test=test", f"out={runs / each.name}"]
    if each.poses:
        words.append(f"data.extracts={extracts}")
    studies.kinesphere(["train", each.recipe, *words])


def truths(
    model: VideoPredictor, samples: Sequence[Sample], method: str, kept: Path, pictures: Path | None
) -> list[Faithfulness]:
    """Deletion and insertion of the map of each clip's own answer; from the file, as far as it has them."""
    done = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    for sample in samples:
        if sample.id in done:
            continue
        question = Question(method, settings=SETTINGS, faithful=WORK)
        attribution = explain(model, sample.path, question, span=sample.span)
        (found,) = attribution.faithfulness.values()
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            name = f"{Path(model.name).name}.{sample.labels[0]}.{sample.path.stem}.{method}.png"
            (pictures / name).write_bytes(sheet([attribution], sample.path))
        done[sample.id] = found.to_json()
        kept.write_text(json.dumps(done), encoding="utf-8")
    return [
        Faithfulness(each["cells"], each["rankings"], tuple(Curve(**curve) for curve in each["curves"]))
        for each in (done[sample.id] for sample in samples)
    ]


def map_row(
    data: str, what: str, method: str, truth: Sequence[Faithfulness], people: OnPeopleShare | None
) -> Row:
    """One row of the table of maps: means over clips."""

    def curve(fill: int, kind: str) -> str:
        own = [getattr(each.curves[fill], kind) for each in truth]
        random = [getattr(each.curves[fill], f"random_{kind}") for each in truth]
        return f"{np.mean(own):.2f} / {np.mean(random):.2f}"

    beaten = [curve.beaten for each in truth for curve in each.curves]
    return {
        "data, clips": f"{data}, {len(truth)}",
        "model": what,
        "method": method,
        "heat on people": "all" if people is None else str(people.energy),
        "their area": "–" if people is None else str(people.area),
        "hottest pixel on people": "–" if people is None else str(people.pointing),
        "deletion / random, mean": curve(0, "deletion"),
        "insertion / random, mean": curve(0, "insertion"),
        "deletion / random, blur": curve(1, "deletion"),
        "insertion / random, blur": curve(1, "insertion"),
        "random rankings beaten": f"{100 * np.mean(beaten):.0f} %",
    }


def study_row(data: str, what: str, clips: int, study: ModelStudy) -> Row:
    """One row of the table of backgrounds."""
    cells = {
        study.of(name).condition.says: str(study.of(name).accuracy)
        for name in CONDITIONS
    }  # fmt: skip
    return {
        "data, clips": f"{data}, {clips}",
        "model": what,
        **cells,
        "swapped, taken for the background's class": str(study.of("swapped").as_background),
        "contrasted": str(study.contrasted),
        "verdict": study.verdict.partition(":")[0],
    }


def stream_note(models: Sequence[VideoPredictor], samples: Sequence[Sample], opening: Opening) -> str:
    """What pixels and joints add to the answers of both fused."""
    members = [model for model in models if isinstance(model, Predictor)]
    fused = FusedPredictor(members, opening=opening)
    shares = []
    for sample in samples:
        pixels, _ = explain(fused, sample.path, span=sample.span).streams
        shares.append(pixels.fraction or 0.0)
    return (
        "Pixels and joints of UT-Interaction fused with equal weights: pixels add "
        f"{100 * np.mean(shares):.0f} % of the probability of the answer, from {100 * min(shares):.0f} to "
        f"{100 * max(shares):.0f} % over {len(shares)} clips."
    )


def spread(manifest: Manifest, count: int) -> Manifest:
    """So many of the clips, by turns from each class, and within a class from each group."""
    queues: dict[str, dict[str | None, list[int]]] = {}
    for i, sample in enumerate(manifest):
        queues.setdefault(sample.labels[0], {}).setdefault(sample.group, []).append(i)
    ranked = [_turns(list(groups.values())) for groups in queues.values()]
    return manifest.select(sorted(_turns(ranked)[:count]))


def _turns(lists: Sequence[Sequence[int]]) -> list[int]:
    """The first of each list, then the second of each, and so on."""
    longest = max(map(len, lists), default=0)
    return [each[i] for i in range(longest) for each in lists if i < len(each)]


def measure(each: Explained, args: argparse.Namespace) -> tuple[VideoPredictor, Row, list[Row]]:
    """A model with its row of the table of backgrounds, and its rows of that of maps."""
    runs, name = args.runs, each.name.partition("_")[0]
    prepare(runs, each, args.clips)
    data, place = WORKS[name].what.partition(",")[0], Extracts(runs / f"{name}_extracts")
    manifest = Manifest.read(runs / f"{name}_test.csv")
    model = load(runs / each.name, compute=Compute.choose("auto", "fp32"), opening=Opening(place))
    found = study_background([model], manifest, runs / f"{each.name}_background", extracts=place)
    few, rows = spread(manifest, args.maps), []
    for method in each.methods:
        asked = runs / f"{each.name}_{method}_truth_{commit()}.json"  # other code draws other maps
        truth = truths(model, list(few), method, asked, args.pictures)
        kept = runs / f"{each.name}_{method}_people.json"
        people = None if each.poses else share_on_people(
            model, few, Question(method, settings=SETTINGS), kept, place
        )  # fmt: skip
        rows.append(map_row(data, each.what, method, truth, people))
        print(rows[-1], flush=True)
    return model, study_row(data, each.what, found.clips, found.models[0]), rows


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "explained", help="models and extracts")
    parser.add_argument("--clips", type=int, default=16, help="test clips of each set that are studied")
    parser.add_argument("--maps", type=int, default=6, help="of these, how many are explained")
    parser.add_argument("--pictures", type=Path, help="folder for the sheets of all explained clips")
    parser.add_argument("--only", choices=[each.name for each in MODELS], help="one model, without a record")
    args = parser.parse_args()
    if DATA not in os.environ:
        parser.error(f"the sets are real data; set {DATA} to their folder")
    models, backgrounds, maps = [], [], []
    for each in MODELS:
        if args.only not in (None, each.name):
            continue
        model, row, rows = measure(each, args)
        models.append(model)
        backgrounds.append(row)
        maps += rows
    if args.only:
        return
    tested = list(spread(Manifest.read(args.runs / "ut_test.csv"), args.maps))
    fused = stream_note(models[:2], tested, Opening(Extracts(args.runs / "ut_extracts")))
    origin = (
        f"Code: {commit()}. Test clips of the first fold; masks and joints by MediaPipe's lite landmarker."
    )
    how = (
        f"Deletion and insertion: {'×'.join(map(str, WORK.grid))} cells, against {WORK.rankings} random "
        "rankings, with cells filled by the temporal mean and by blur. All heat of joints is on people."
    )
    print(f"\n{table(backgrounds)}\n")
    if not args.no_record:
        few = (
            "The clips are few: read the intervals. UT-Interaction has one group in a fold, which gives none."
        )
        title = "What models of real videos say when people or backgrounds are changed"
        print(write_record("explained_backgrounds", title, COMMAND, backgrounds, notes=[origin, few]))
    finish("explained_sets", "Where heat lies in real videos, and whether it is true", parser, args, maps,
           notes=[origin, how, fused])  # fmt: skip


if __name__ == "__main__":
    main()
