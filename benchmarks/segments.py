"""Segments of long recordings: thresholds alone, hysteresis and Viterbi decoding, and where boundaries lie.

    python -m benchmarks.segments [--minutes N] [--epochs N] [--extracts FOLDER]

Generated people move for an hour in all, one movement after the other with short pauses; the recogniser in
the box answers about their joints in windows of 1.5 s every 0.5 s. It learnt single movements of other
generated performers. Real sequences are UTKinect's, by the box, which learnt nothing of them, and by a
small network that learnt windows of the other half of the subjects, each labelled as what happens in its
middle, pauses among them; and URFD's two recordings, by the box on MediaPipe's joints.

`urfd.csv` says when what happens in URFD's two recordings. It was marked by eye, frame by frame, in the
colour half (30 frames a second): the fall begins at frame 86, where knees bend and the head begins to sink,
and ends at frame 132, where the body has come to rest on the floor; either may be three frames off. The
other recording has no fall: somebody comes in, walks and crouches.

No setting was chosen by these recordings: thresholds are 0.5 (the box has its own), hysteresis goes on at
0.3 and closes pauses and drops segments of less than 0.6 s, Viterbi decoding expects segments of 2.5 s, or
learns transitions from other recordings. Intervals are over recordings. Needs KINESPHERE_TEST_DATA; some
ten minutes on one core, most of them for the two networks.
"""

from __future__ import annotations

import csv
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.box import LABEL_OF, NOTHING_ELSE, POSE_MODEL, POSE_RECIPE
from benchmarks.box_poses import DATA, SETS, falls, projected
from benchmarks.record import Row, command_line, finish, goal
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels
from kinesphere.annotations.timed_files import read_timed
from kinesphere.clips.modalities.pose.file import SUFFIX, write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.archives import opened
from kinesphere.core.device import Compute
from kinesphere.core.errors import NobodySeen
from kinesphere.data.catalogue import DATASETS, Recording
from kinesphere.evaluate.files.segments import score_segments
from kinesphere.evaluate.intervals import t_quantile
from kinesphere.evaluate.metrics.detections import span_overlaps
from kinesphere.evaluate.paired import mean_difference
from kinesphere.predict import SegmentRule, Timeline, Transitions, learn_transitions, load, segments
from kinesphere.predict.video_predictor import VideoPredictor
from kinesphere.synthetic.body.body import forward_kinematics
from kinesphere.synthetic.clips import cast
from kinesphere.synthetic.poses import seen
from kinesphere.synthetic.recordings import plan_recording
from kinesphere.synthetic.settings import MannequinSettings
from kinesphere.train import Recipe, train

WINDOW_S, STRIDE_S, FALL_STRIDE_S = 1.5, 0.5, 0.25
NO_ACTION = "no action"
MOVEMENTS = ("clap", "jump", "kick", "pick up", "sit down", "turn", "walk", "wave")
MARKED = Path(__file__).with_name("urfd.csv")
PLAIN, HYSTERESIS = "thresholds alone", "hysteresis, at least 0.6 s"
STATED, LEARNT = "Viterbi, 2.5 s a segment", "Viterbi, learnt transitions"
_RATE_HZ, _MOVEMENT_S = 15.0, 2.35
_OVERLAP = 0.5
RulesOf = Callable[["Recorded"], Mapping[str, SegmentRule]]
"""The rules for a recording by their names; what they learnt must not be of it."""


@dataclass(frozen=True)
class Recorded:
    """A recording of joints with what happens in it.

    Attributes:
        name: Of the video.
        path: Its pose file.
        truth: What happens.
        duration_s: Its length.
        group: Who moves.
    """

    name: str
    path: Path
    truth: tuple[TimedLabel, ...]
    duration_s: float
    group: str


def generated(folder: Path, split: str, count: int, minutes: float) -> Iterator[Recorded]:
    """Recordings of generated people, `minutes` each.

    Args:
        folder: Of the pose files.
        split: Whose performers.
        count: How many recordings.
        minutes: Length of each, about.
    """
    settings = MannequinSettings(
        classes=MOVEMENTS, performers=40, splits=(0.6, 0.1, 0.3), view_deg=60, elevation_deg=(-5, 20), seed=13
    )
    for number in range(count):
        plan, sequence = plan_recording(settings, split, number, math.ceil(60 * minutes / _MOVEMENT_S))
        generator = np.random.default_rng((*plan.entropy, 2))
        performer = cast(settings, plan.performer)
        times_s = np.arange(int(sequence.duration_s * _RATE_HZ)) / _RATE_HZ
        placed = forward_kinematics(performer.body, sequence.pose(times_s, performer.body))
        poses = seen(placed, performer, times_s, _RATE_HZ, settings, generator)
        truth = [TimedLabel(plan.id, each.label, each.start_s, each.end_s) for each in sequence.passages]
        yield recorded(folder, plan.id, poses, truth, str(plan.performer))


def utkinect(folder: Path, source: Path) -> Iterator[Recorded]:
    """UTKinect's sequences, their joints in the picture that their sensor took."""
    for item in DATASETS.get("utkinect").read(source):
        if isinstance(item, Recording):
            truth = [TimedLabel(item.name, part.label, *part.span) for part in item.parts if part.span]
            yield recorded(folder, item.name, projected(item.poses), truth, item.group or item.name)


def recorded(folder: Path, name: str, poses: Poses, truth: Sequence[TimedLabel], group: str) -> Recorded:
    """Write the pose file of a recording."""
    path = folder / f"{name}{SUFFIX}"
    write_poses(poses, path)
    end_s = max(float(poses.times[-1]), *(each.end_s for each in truth))
    return Recorded(name, path, tuple(sorted(truth, key=lambda each: each.start_s)), end_s, group)


def learn(
    folder: Path, train_on: Sequence[Recorded], labels: Sequence[str], epochs: int, stride_s: float = STRIDE_S
) -> VideoPredictor:
    """A network on joints that names what happens in the middle of a window.

    Args:
        folder: Of manifest and run.
        train_on: Recordings; the last one validates.
        labels: Its classes.
        epochs: Passes over all windows.
        stride_s: Seconds between the windows that it learns from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "start", "end", "group", "split"])
        for each in train_on:
            split = "val" if each is train_on[-1] else "train"
            for start_s in np.arange(0, each.duration_s - WINDOW_S, stride_s).tolist():
                label = label_at(each.truth, start_s + WINDOW_S / 2)
                writer.writerow([each.path, label, start_s, start_s + WINDOW_S, each.group, split])
    changes = [
        f"data.source={folder / 'manifest.csv'}", f"data.labels=[{', '.join(labels)}]", "data.test=0",
        "augment.trim=0", f"train.epochs={epochs}", f"out={folder / 'run'}",
    ]  # fmt: skip
    done = train(Recipe.load(POSE_RECIPE, tuple(changes)))
    return load(done.files.folder, compute=Compute("cpu", "fp32", True))


def label_at(truth: Sequence[TimedLabel], time_s: float) -> str:
    """What happens at a time."""
    return next((each.label for each in truth if each.start_s <= time_s < each.end_s), NO_ACTION)


def rules(learnt: Transitions, no_action: tuple[str, ...], threshold: float | None) -> dict[str, SegmentRule]:
    """The rules that are compared; the first is thresholds alone."""
    common = {"threshold": threshold, "no_action": no_action}
    keep = 0.3 if threshold is None else min(threshold, 0.3)
    return {
        PLAIN: SegmentRule(**common),
        "mean of 3 windows": SegmentRule(smooth=3, **common),
        HYSTERESIS: SegmentRule(keep=keep, min_s=0.6, gap_s=0.6, **common),
        STATED: SegmentRule(viterbi=Transitions(duration_s=2.5), **common),
        LEARNT: SegmentRule(viterbi=learnt, **common),
    }


def truth_of(recordings: Sequence[Recorded], only: str | None = None) -> TimedLabels:
    """The annotations of recordings, of one label or all."""
    labels = tuple(label for each in recordings for label in each.truth if only in (None, label.label))
    lengths = {each.name: each.duration_s for each in recordings}
    return TimedLabels(labels, tuple(lengths), lengths)


def detected(
    timelines: Mapping[str, Timeline], by: Mapping[str, SegmentRule], only: str | None = None
) -> TimedLabels:
    """The segments of recordings by their names, of one label or all."""
    found = [
        Detection(name, each.label, each.start_s, each.end_s, score=each.probability)
        for name, line in timelines.items()
        for each in segments(line, by[name])
        if only in (None, each.label)
    ]
    return TimedLabels(tuple(found), tuple(timelines))


def boundary_errors(found: TimedLabels, truth: TimedLabels) -> tuple[np.ndarray, list[str]]:
    """How much later segments start and end than the true ones that they find, `(N, 2)` s, and their videos.

    A true segment is found by the one of its label that overlaps it most, by half or more.
    """
    errors: list[tuple[float, float]] = []
    videos: list[str] = []
    for each in truth.labels:
        same = [other for other in found.labels if (other.video, other.label) == (each.video, each.label)]
        if not same:
            continue
        spans = np.array([(other.start_s, other.end_s) for other in same])
        overlaps = span_overlaps(spans, np.array([(each.start_s, each.end_s)]))[:, 0]
        best = int(overlaps.argmax())
        if overlaps[best] >= _OVERLAP:
            errors.append((spans[best, 0] - each.start_s, spans[best, 1] - each.end_s))
            videos.append(each.video)
    return np.array(errors).reshape(-1, 2), videos


def mean_of_groups(values: np.ndarray, groups: Sequence[str]) -> tuple[float, float]:
    """A mean and half of its 95 % interval, by the jackknife over groups; NaN for fewer than two of them."""
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        return (float(values.mean()) if len(values) else math.nan), math.nan
    of = np.array([names.index(each) for each in groups])
    without = np.array([values[of != i].mean() for i in range(len(names))])
    variance = (len(names) - 1) / len(names) * float(np.square(without - without.mean()).sum())
    return float(values.mean()), t_quantile(0.975, len(names) - 1) * math.sqrt(variance)


@dataclass(frozen=True)
class Compared:
    """What a rule gives on a set.

    Attributes:
        row: For the table.
        f1: F1 at 0.5 of each recording.
        bias_s: Mean error of starts and of ends.
    """

    row: Row
    f1: np.ndarray
    bias_s: tuple[float, float]


def compare(
    title: str,
    recordings: Sequence[Recorded],
    timelines: Mapping[str, Timeline],
    by: RulesOf,
    only: str | None = None,
) -> dict[str, Compared]:
    """What each rule gives.

    Args:
        title: What the recordings are called.
        recordings: With what happens in them.
        timelines: The answers by the recordings' names.
        by: The rules for a recording, by their names.
        only: The label that is asked about; None for all.
    """
    truth = truth_of(recordings, only)
    compared = {}
    for name in by(recordings[0]):
        found = detected(timelines, {each.name: by(each)[name] for each in recordings}, only)
        scores = score_segments(found, truth).scores
        errors, videos = boundary_errors(found, truth)
        starts, ends = (mean_of_groups(errors[:, i], videos) for i in (0, 1))
        row: Row = {
            "recordings": title,
            "segments by": name,
            "F1@0.5": str(scores["f1@0.5"]),
            "edit": f"{100 * scores['edit'].value:.1f} %",
            "time right": f"{100 * scores['frame_accuracy'].value:.1f} %",
            "inserted": f"{100 * scores['insertions'].value:.1f} %",
            "fragmented": f"{100 * scores['fragmentations'].value:.1f} %",
            "merged": f"{100 * scores['merges'].value:.1f} %",
            "start later by": later(*starts),
            "end later by": later(*ends),
        }
        annotated = [each.name for each in recordings if any(a.video == each.name for a in truth.labels)]
        f1 = np.array([_f1(found, truth, video) for video in annotated])
        compared[name] = Compared(row, f1, (starts[0], ends[0]))
    return compared


def later(mean_s: float, half_s: float) -> str:
    """A mean error with half its interval, in milliseconds."""
    if math.isnan(mean_s):
        return "none found"
    interval = "" if math.isnan(half_s) else f" ± {1000 * half_s:.0f}"
    return f"{1000 * mean_s:+.0f}{interval} ms"


def _f1(found: TimedLabels, truth: TimedLabels, video: str) -> float:
    own, true = (TimedLabels.of([e for e in each.labels if e.video == video]) for each in (found, truth))
    return score_segments(own, true).scores["f1@0.5"].value if len(own) else 0.0


def asked(predictor: VideoPredictor, recordings: Sequence[Recorded]) -> dict[str, Timeline]:
    """The windows of recordings; those in which a sensor saw nobody have no segment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NobodySeen)
        return {
            each.name: predictor.timeline(each.path, window_s=WINDOW_S, stride_s=STRIDE_S, batch_size=64)
            for each in recordings
        }


def of_generated(folder: Path, minutes: float) -> dict[str, Compared]:
    """The generated recordings, `minutes` in all, by the recogniser in the box."""
    length = min(5.0, minutes / 2)
    made = {
        split: list(generated(folder, split, max(2, round(minutes / length)), length))
        for split in ("train", "test")
    }
    known = {split: [replace(e, truth=_known(e.truth)) for e in each] for split, each in made.items()}
    tested = known["test"]
    learnt = learn_transitions(truth_of(known["train"]), "other recordings")
    total = sum(each.duration_s for each in tested) / 60
    title = f"generated people, {len(tested)} recordings, {total:.0f} minutes"
    by = rules(learnt, (), None)
    return compare(title, tested, asked(box(), tested), lambda _: by)


def _known(truth: Sequence[TimedLabel]) -> tuple[TimedLabel, ...]:
    """Generated movements by the names of the box; what it does not know is no segment."""
    called = [replace(each, label=LABEL_OF[each.label]) for each in truth]
    return tuple(each for each in called if each.label != NOTHING_ELSE)


def box() -> VideoPredictor:
    """The recogniser in the box, its half on joints."""
    return load(POSE_MODEL, compute=Compute("cpu", "fp32", True))


def of_utkinect(folder: Path, data: Path, epochs: int) -> list[Row]:
    """UTKinect's sequences: learnt from the other half of the subjects, and asked of the box."""
    with opened(data / "skeletons" / "utkinect.tar.xz") as source:
        every = list(utkinect(folder, source))
    subjects = sorted({each.group for each in every})
    labels = sorted({label.label for each in every for label in each.truth})
    rows: list[Row] = []
    timelines: dict[str, Timeline] = {}
    for i in (0, 1):
        known = [each for each in every if each.group not in subjects[i::2]]
        predictor = learn(folder / f"utkinect{i}", known, [*labels, NO_ACTION], epochs, stride_s=0.15)
        timelines |= asked(predictor, [each for each in every if each not in known])
    title = f"UTKinect, {len(every)} sequences, learnt from other subjects"
    by = _of_others(every, (NO_ACTION,), 0.5)
    rows += [each.row for each in compare(title, every, timelines, by).values()]
    ours = [replace(each, truth=_in_the_box(each.truth)) for each in every]
    title = f"UTKinect, {len(every)} sequences, the recogniser in the box"
    by = _of_others(ours, (), None)
    return rows + [each.row for each in compare(title, ours, asked(box(), ours), by).values()]


def _of_others(
    recordings: Sequence[Recorded], no_action: tuple[str, ...], threshold: float | None
) -> RulesOf:
    """Rules whose transitions were learnt from the other half of the subjects."""
    subjects = sorted({each.group for each in recordings})
    halves = []
    for i in (0, 1):
        others = truth_of([each for each in recordings if each.group not in subjects[i::2]])
        halves.append(rules(learn_transitions(others, "other subjects"), no_action, threshold))
    return lambda recording: halves[subjects.index(recording.group) % 2]


def _in_the_box(truth: Sequence[TimedLabel]) -> tuple[TimedLabel, ...]:
    """UTKinect's labels by the names of the box; what it does not know is no segment."""
    names = {**SETS[0].classes, "carry": "walk"}
    called = [replace(each, label=names[each.label]) for each in truth]
    return tuple(each for each in called if each.label != NOTHING_ELSE)


def of_urfd(data: Path, extracts: Path) -> list[Row]:
    """URFD's fall, and the recording without one, by the recogniser in the box."""
    lines = falls(box(), data, extracts, window_s=WINDOW_S, stride_s=FALL_STRIDE_S)
    marked = read_timed(MARKED)
    timelines = {"fall-01-cam0": lines["fall"], "adl-01-cam0": lines["daily activity"]}
    recordings = [
        Recorded(
            name, MARKED, tuple(each for each in marked.labels if each.video == name),
            float(line.spans.max()), name,
        )
        for name, line in timelines.items()
    ]  # fmt: skip
    by = rules(Transitions(duration_s=2.5), (), None)
    del by[LEARNT]
    title = f"URFD, a fall and none, the recogniser in the box, a window every {FALL_STRIDE_S:g} s"
    compared = compare(title, recordings, timelines, lambda _: by, only="fall")
    return [each.row for each in compared.values()]


def goals_of(compared: Mapping[str, Compared]) -> list[str]:
    """More segments found than by thresholds alone, and boundaries within a quarter of the stride."""
    lines = []
    plain = compared[PLAIN].f1
    for name in (HYSTERESIS, STATED, LEARNT):
        more = mean_difference(plain, compared[name].f1, [str(i) for i in range(len(plain))])
        met = "met" if more.is_more else "missed"
        lines.append(
            f"F1@0.5 of {name}, less that of {PLAIN} (goal: more), mean of recordings: {more}: {met}"
        )
    for name in (STATED, LEARNT):
        for side, error_s in zip(("starts", "ends"), compared[name].bias_s, strict=True):
            what = f"mean error of {side} by {name}, either way"
            lines.append(goal(what, 1000 * abs(error_s), 1000 * STRIDE_S / 4, " ms", at_most=True))
    return lines


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="of generated recordings in all")
    parser.add_argument("--epochs", type=int, default=8, help="of the networks that learn UTKinect")
    parser.add_argument("--extracts", type=Path, default=Path("runs/box_poses"), help="MediaPipe's poses")
    args = parser.parse_args()
    if DATA not in os.environ:
        parser.error(f"the footage is read from {DATA}; set it to the folder with skeletons/ and videos/")
    data = Path(os.environ[DATA])
    with tempfile.TemporaryDirectory() as name:
        compared = of_generated(Path(name), args.minutes)
        rows = [each.row for each in compared.values()]
        rows += of_utkinect(Path(name), data, args.epochs)
    rows += of_urfd(data, args.extracts)
    windows = f"Windows of {WINDOW_S:g} s, every {STRIDE_S:g} s where nothing else is said"
    notes = [
        f"{windows}. F1 at a tIoU of 0.5; inserted of given segments, fragmented and merged of true ones",
        "Errors of boundaries are of the segments that are found; positive is later than annotated",
        "UTKinect in the box: carrying counts as walking, pulling is none of these",
        "URFD's fall by eye: 2.87 to 4.40 s, give or take 0.1 s (benchmarks/urfd.csv); MediaPipe's joints",
        "One recording of a fall shows how it is done, not how often it succeeds",
    ]
    title = "Segments of long recordings: thresholds, hysteresis and Viterbi decoding"
    finish("segments", title, parser, args, rows, goals_of(compared), notes)


if __name__ == "__main__":
    main()
