"""Scores on real and generated data, each by one `kinesphere` command.

    python -m benchmarks.studies [--resume | --rescore | --from-tables] [NAMES...]

Every study runs its command from the repository's root into `runs/studies/NAME`, takes the time, and keeps
the score with its interval, the commit of the code, and what was said of every clip in `results/studies/`;
`make docs` makes docs/results.md and the README's table from them. Studies on real data need
KINESPHERE_TEST_DATA. A study that was stopped goes on with --resume; its minutes are then not known.
--rescore computes scores and intervals again from the kept predictions, without any training or data, and
--from-tables fuses what is kept of the runs that a fusion names, whose probabilities are there to 1e-6.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, machine
from benchmarks.study_predictions import read_table, write_table
from kinesphere.core.skipped import Skipped
from kinesphere.evaluate import Predictions, fuse
from kinesphere.evaluate.protocol import Environment, Protocol
from kinesphere.evaluate.report import Report, report_from_predictions

ROOT = Path(__file__).resolve().parents[1]
RECORDS = RESULTS / "studies"
RUNS = "runs/studies"
DATA = "KINESPHERE_TEST_DATA"


@dataclass(frozen=True)
class Study:
    """One score, and how to get it.

    Attributes:
        what: Data and protocol, for the table.
        model: Model and what it starts from, for the table.
        command: Words after `kinesphere`; `DATA/` is replaced by the folder of test data.
        folder: The option that names the folder of the run, up to the folder.
        goal: Top-1 accuracy aimed for, or None.
        before: Words of another command that has to run first; not part of the minutes.
    """

    what: str
    model: str
    command: tuple[str, ...]
    folder: str = "out="
    goal: float | None = None
    before: tuple[str, ...] = ()


UT = "UT-Interaction set 1, leave one sequence out"
FIGHT = "Surveillance fights, 5 folds by source video"
UT_LABELS = "DATA/videos/ut_interaction_set1/labels.csv"
UT_EXTRACTS = "runs/ut_interaction_extracts"
PRETRAINED = (
    "import",
    "DATA/weights/movinet_a0_stream_cattle.tflite",
    "--model=movinet_a0_stream",
    "--norms-from=DATA/videos/samples",
    "--out=runs/movinet_a0.safetensors",
)
UT_MOVINET = (
    "train",
    "recipes/ut_interaction_movinet.yaml",
    f"data.source={UT_LABELS}",
    "--folds=group",
)
FIGHT_LABELS = "DATA/videos/surveillance_fight/labels.csv"
FIGHT_EXTRACTS = "runs/surveillance_fight_extracts"
FIGHT_MOVINET = (
    "train",
    "recipes/surveillance_fight_movinet.yaml",
    f"data.source={FIGHT_LABELS}",
    "--folds=5",
)
LABAN = (
    "import-skeletons",
    "laban_effort",
    "DATA/mocap/laban_effort.tar.xz",
    "--camera=45",
    "--out=runs/laban_effort",
)
MSR = "MSR-Action3D, 20 actions, odd subjects train and even ones test"
MSR_IMPORT = (
    "import-skeletons",
    "msr_action3d",
    "DATA/skeletons/msraction3d.tar.xz",
    "--out=runs/msr_action3d",
)
MSR_STREAMS = ("joint", "bone", "joint_motion", "bone_motion")


def _fused(what: str, model: str, *runs: str, weights: str | None = None, goal: float | None = None) -> Study:
    """The late fusion of other studies' runs, with equal weights unless some are stated."""
    stated = () if weights is None else (f"--weights={weights}",)
    command = ("fuse", *(f"{RUNS}/{run}" for run in runs), *stated)
    return Study(what=what, model=model, command=command, folder="--out=", goal=goal)


STUDIES = {
    "demo": Study(
        what="Generated videos, unseen performers in unseen scenes, 10 movements",
        model="kine_small, from scratch",
        command=("demo",),
        folder="--out=",
        goal=0.95,
    ),
    "ut_scratch": Study(
        what=UT,
        model="kine_small, from scratch",
        command=(
            "train",
            "recipes/ut_interaction.yaml",
            f"data.source={UT_LABELS}",
            "--folds=group",
        ),
    ),
    "fight_scratch": Study(
        what=FIGHT,
        model="kine_small, from scratch",
        command=(
            "train",
            "recipes/surveillance_fight.yaml",
            f"data.source={FIGHT_LABELS}",
            "--folds=5",
        ),
    ),
    "ut_transfer": Study(
        what=UT,
        model="movinet_a0_stream, from video weights",
        before=PRETRAINED,
        command=UT_MOVINET,
        goal=0.92,
    ),
    "ut_pose": Study(
        what=UT,
        model="dd_net on poses (MediaPipe lite), from scratch",
        before=(
            "extract",
            "pose",
            UT_LABELS,
            f"--out={UT_EXTRACTS}",
            "--model=DATA/weights/pose_landmarker_lite.task",
        ),
        command=("train", "recipes/ut_interaction_pose.yaml", f"data.source={UT_LABELS}", "--folds=group"),
    ),
    "ut_flow": Study(
        what=UT,
        model="kine_small_flow, from scratch",
        before=("extract", "flow", UT_LABELS, f"--out={UT_EXTRACTS}", "--short-side=128"),
        command=("train", "recipes/ut_interaction_flow.yaml", f"data.source={UT_LABELS}", "--folds=group"),
    ),
    "ut_fused": _fused(
        UT, "pixels (ut_transfer) + joints (ut_pose), equal weights", "ut_transfer", "ut_pose", goal=0.95
    ),
    "ut_fused_all": _fused(
        UT,
        "pixels (ut_transfer) + joints (ut_pose) + flow (ut_flow), equal weights",
        "ut_transfer",
        "ut_pose",
        "ut_flow",
    ),
    "ut_movinet_scratch": Study(
        what=UT,
        model="movinet_a0_stream, from scratch, same budget",
        command=(*UT_MOVINET, "model.pretrained=null"),
    ),
    "fight_transfer": Study(
        what=FIGHT,
        model="movinet_a0_stream, from video weights",
        before=PRETRAINED,
        command=FIGHT_MOVINET,
        goal=0.85,
    ),
    "fight_movinet_scratch": Study(
        what=FIGHT,
        model="movinet_a0_stream, from scratch, same budget",
        command=(*FIGHT_MOVINET, "model.pretrained=null", "model.freeze=null"),
    ),
    "fight_flow": Study(
        what=FIGHT,
        model="kine_small_flow, from scratch",
        before=("extract", "flow", FIGHT_LABELS, f"--out={FIGHT_EXTRACTS}", "--short-side=128"),
        command=(
            "train",
            "recipes/surveillance_fight_flow.yaml",
            f"data.source={FIGHT_LABELS}",
            "--folds=5",
        ),
    ),
    "fight_pose": Study(
        what=FIGHT,
        model="dd_net on poses (MediaPipe lite), from scratch",
        before=(
            "extract",
            "pose",
            FIGHT_LABELS,
            f"--out={FIGHT_EXTRACTS}",
            "--model=DATA/weights/pose_landmarker_lite.task",
            "--fps=15",
        ),
        command=("train", "recipes/surveillance_fight_pose.yaml", f"data.source={FIGHT_LABELS}", "--folds=5"),
        goal=0.85,
    ),
    "fight_pooled": Study(
        what=FIGHT,
        model="pooled probes on frozen movinet_a0_stream",
        before=PRETRAINED,
        command=(
            "train",
            "recipes/surveillance_fight_pooled.yaml",
            f"data.source={FIGHT_LABELS}",
            "--folds=5",
        ),
        goal=0.85,
    ),
    "fight_fused": _fused(
        FIGHT,
        "pixels (fight_transfer) + flow (fight_flow), equal weights",
        "fight_transfer",
        "fight_flow",
        goal=0.85,
    ),
    "fight_pooled_pose": _fused(
        FIGHT,
        "pooled probes (fight_pooled) + joints (fight_pose), equal weights",
        "fight_pooled",
        "fight_pose",
        goal=0.85,
    ),
    "fight_fused_all": _fused(
        FIGHT,
        "pixels (fight_transfer) + flow (fight_flow) + pooled probes (fight_pooled), equal weights",
        "fight_transfer",
        "fight_flow",
        "fight_pooled",
        goal=0.85,
    ),
    "jhmdb": Study(
        what="JHMDB, split 1 of 14 classes, true joints",
        model="dd_net, from scratch",
        before=("import-skeletons", "jhmdb", "DATA/skeletons/jhmdb", "--out=runs/jhmdb"),
        command=("train", "recipes/jhmdb.yaml"),
        goal=0.82,
    ),
    "utkinect": Study(
        what="UTKinect-Action3D, subjects 1 to 8, leave one subject out",
        model="dd_net, from scratch",
        before=("import-skeletons", "utkinect", "DATA/skeletons/utkinect.tar.xz", "--out=runs/utkinect"),
        command=("train", "recipes/utkinect.yaml", "--folds=group"),
        goal=0.96,
    ),
    "msr": Study(
        what=MSR,
        model="dd_net, from scratch",
        before=MSR_IMPORT,
        command=("train", "recipes/msr_action3d.yaml"),
        goal=0.94,
    ),
    "msr_body": Study(
        what=MSR,
        model="dd_net, bodies upright and to the front, from scratch",
        before=MSR_IMPORT,
        command=(
            "train",
            "recipes/msr_action3d.yaml",
            "clip.align=body",
            "train.seed=1",
        ),
    ),
    "msr_fused": _fused(MSR, "both dd_net (msr, msr_body), equal weights", "msr", "msr_body", goal=0.94),
    **{
        f"msr_{stream}": Study(
            what=MSR,
            model=f"stgcnpp, small, {stream.replace('_', ' ')}, from scratch",
            before=MSR_IMPORT,
            command=("train", "recipes/msr_action3d_graph.yaml", f"model.arguments.stream={stream}"),
        )
        for stream in MSR_STREAMS
    },
    "msr_graph": _fused(
        MSR,
        "four streams of stgcnpp, small, weights 2, 2, 1, 1",
        *(f"msr_{stream}" for stream in MSR_STREAMS),
        weights="2,2,1,1",
        goal=0.94,
    ),
    "msr_fused_all": _fused(
        MSR,
        "both dd_net + four streams of stgcnpp, small, weights 3, 3, 2, 2, 1, 1",
        "msr",
        "msr_body",
        *(f"msr_{stream}" for stream in MSR_STREAMS),
        weights="3,3,2,2,1,1",
        goal=0.94,
    ),
    **{
        f"msr_{subset}": Study(
            what=f"MSR-Action3D, 8 actions of {subset.upper()}, odd subjects train and even ones test",
            model="dd_net, from scratch",
            before=MSR_IMPORT,
            command=(
                "train",
                "recipes/msr_action3d.yaml",
                f"data.label_column={subset}",
                "data.unlabelled=skip",
            ),
        )
        for subset in ("as1", "as2", "as3")
    },
    **{
        f"laban_{factor}": Study(
            what=f"Laban Effort, grades of {factor.title()}, seen in 2D by a camera, leave one action out",
            model="dd_net, from scratch",
            before=LABAN,
            command=("train", "recipes/laban_effort.yaml", f"data.label_column={factor}", "--folds=group"),
        )
        for factor in ("space", "weight", "time", "flow")
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAMES", help=f"of {', '.join(STUDIES)}; default: all")
    parser.add_argument("--resume", action="store_true", help="go on with studies that were stopped")
    parser.add_argument("--rescore", action="store_true", help="only score the kept predictions again")
    parser.add_argument(
        "--from-tables", action="store_true", help="fuse kept predictions, without the runs that made them"
    )
    arguments = parser.parse_args()
    names = arguments.names or list(STUDIES)
    unknown = [name for name in names if name not in STUDIES]
    if unknown:
        parser.error(f"no study is called {', '.join(unknown)}; there are {', '.join(STUDIES)}")
    if arguments.rescore:
        for name in names:
            print(rescore(name) or f"{name}: no predictions were kept; run it again")
        return
    if arguments.from_tables:
        for name in names:
            print(fuse_tables(name) or f"{name}: no fusion of studies whose predictions were kept; run it")
        return
    words = [word for name in names for word in (*STUDIES[name].before, *STUDIES[name].command)]
    if any("DATA/" in word for word in words) and DATA not in os.environ:
        parser.error(f"these studies read real data; set {DATA} to its folder")
    for name in names:
        print(f"\n=== {name}: {STUDIES[name].what}; {STUDIES[name].model}", flush=True)
        print(keep(name, *run(name, resume=arguments.resume)))


def run(name: str, *, resume: bool) -> tuple[dict[str, Any], float | None]:
    """What a study's command said, and its seconds; None if it went on from where it was."""
    study, folder = STUDIES[name], ROOT / RUNS / name
    resume = resume and folder.exists()
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    if study.before:
        kinesphere(study.before)
    words = [*study.command, f"{study.folder}{RUNS}/{name}", "--json"]
    if study.command[0] == "train":
        words += [f"data.cache={RUNS}/{name}-cache", *(["--resume"] if resume else [])]
    begun = time.perf_counter()
    said = kinesphere(words)
    return json.loads(said), None if resume else time.perf_counter() - begun


def kinesphere(words: Sequence[str]) -> bytes:
    """What a command prints; its progress goes to the screen."""
    data = os.environ.get(DATA, "")
    command = [sys.executable, "-m", "kinesphere", *(word.replace("DATA/", f"{data}/") for word in words)]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout


def fuse_tables(name: str) -> Path | None:
    """Record a fusion of kept predictions; None of another study, or where a table is missing."""
    word, *options = STUDIES[name].command
    members = [Path(each).name for each in options if not each.startswith("--")]
    tables = [RECORDS / f"{member}.csv" for member in members]
    if word != "fuse" or not all(table.is_file() for table in tables):
        return None
    given = next((each.partition("=")[2] for each in options if each.startswith("--weights=")), None)
    begun = time.perf_counter()
    parts = [read_table(table, skipped=_skipped_in(table)) for table in tables]
    fused = fuse(parts, None if given is None else [float(number) for number in given.split(",")])
    folder = ROOT / RUNS / name
    folder.mkdir(parents=True, exist_ok=True)
    fused.write(folder / "predictions.parquet")
    said = {"report": _report_of(fused, name).to_json()}
    return keep(name, said, time.perf_counter() - begun)


def _skipped_in(table: Path) -> list[Skipped]:
    """Clips that a study could not score."""
    record = json.loads(table.with_suffix(".json").read_text(encoding="utf-8"))
    return [Skipped(*note) for note in record["skipped"]]


def _report_of(predictions: Predictions, name: str) -> Report:
    """The scores of a study's predictions."""
    study = STUDIES[name]
    unknown = Environment(model=study.model, version="", torch="", device="", precision="")
    return report_from_predictions(predictions, Protocol(dataset=study.what), unknown)


def keep(name: str, said: dict[str, Any], seconds: float | None) -> Path:
    """Write the record of a study and the table of its predictions; the record's path."""
    study = STUDIES[name]
    predictions = Predictions.read(_predictions_file(name))
    RECORDS.mkdir(parents=True, exist_ok=True)
    write_table(predictions, RECORDS / f"{name}.csv")
    record = {
        "what": study.what,
        "model": study.model,
        "commands": [shlex.join(["kinesphere", *words]) for words in (study.before, study.command) if words],
        **_scored(Report.from_json(said["report"])),
        "skipped": [_skipped(note) for note in predictions.skipped],
        "goal": study.goal,
        "minutes": round(seconds / 60, 1) if seconds is not None else None,
        "machine": machine(),
        "commit": commit(),
    }
    if "reversed_pairs" in said:
        record["reversed_pairs"] = said["reversed_pairs"]
    return _write(name, record)


def rescore(name: str) -> Path | None:
    """Renew the scores of a study's record from its kept predictions; None where there are none."""
    path, table = RECORDS / f"{name}.json", RECORDS / f"{name}.csv"
    if not (path.is_file() and table.is_file()):
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    report = _report_of(read_table(table, skipped=_skipped_in(table)), name)
    return _write(name, {**record, **_scored(report)})


def commit() -> str:
    """The commit that is checked out; `+` where the package or a recipe differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(("git", *words), cwd=ROOT, capture_output=True, text=True, check=True).stdout

    changed = git("status", "--porcelain", "--", "src", "recipes").strip()
    return git("rev-parse", "--short=12", "HEAD").strip() + ("+" if changed else "")


def _scored(report: Report) -> dict[str, Any]:
    """The part of a record that follows from the predictions."""
    plain = report.to_json()
    return {
        "line": report.line(),
        "scores": {key: plain["scores"][key] for key in ("top1", "mean_class_accuracy", "macro_f1")},
        "intervals": plain["intervals"],
        "chance": {"uniform": 1 / len(report.classes), "most_frequent": report.majority},
    }


def _predictions_file(name: str) -> Path:
    """Where a study's command left its predictions: in its folder, or in that of its only run."""
    folder = ROOT / RUNS / name
    own = folder / "predictions.parquet"
    return own if own.is_file() else folder / "run" / own.name


def _skipped(note: Skipped) -> tuple[str, str]:
    """Name of a skipped file and why, without the machine's folders."""
    file = Path(note.path)
    return file.name, note.reason.replace(note.path, file.name).replace(f"{file.parent}/", "")


def _write(name: str, record: dict[str, Any]) -> Path:
    path = RECORDS / f"{name}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)
    return path


if __name__ == "__main__":
    main()
