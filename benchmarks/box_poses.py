"""The recogniser in the box, on joints: made from generated people alone, asked about real ones.

    python -m benchmarks.box_poses

Its model file is made by `python -m benchmarks.box pose`. The footage is that of KINESPHERE_TEST_DATA:
joints of UTKinect-Action3D, MSR-Action3D and JHMDB, those in space projected into the picture that their
sensor took; and videos of UT-Interaction and URFD, whose joints MediaPipe finds (a few minutes; they are
kept in --extracts). Nothing of it was learnt from.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.box import CLASSES, NOTHING_ELSE, POSE_MODEL
from benchmarks.record import Row, command_line, finish, goal
from kinesphere.annotations.extract.job import extract
from kinesphere.annotations.extract.mediapipe_pose import PoseSettings
from kinesphere.annotations.extract.pose import PoseExtractor
from kinesphere.clips.modalities.pose.file import SUFFIX, write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.archives import opened
from kinesphere.core.device import Compute
from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Recording
from kinesphere.evaluate.metrics import Score, recall_interval
from kinesphere.predict import load
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.video_predictor import VideoPredictor
from kinesphere.video import Video
from kinesphere.video.write import VideoWriter

DATA = "KINESPHERE_TEST_DATA"
GOAL = 70.0
WINDOW_S, STRIDE_S = 2.0, 0.5
_FOCAL_PX, _NEAREST_M = 525.0, 0.3
_FRAME = (480, 640)  # of the Kinect


@dataclass(frozen=True)
class Asked:
    """A set of joints, and what its classes are called here.

    Attributes:
        title: For the table.
        dataset: Its name in the catalogue.
        place: Below the folder of test data.
        classes: Its classes that are asked about, and what stands for them here.
        only: The split of the first protocol that is asked about; None for all of it.
        looked: What was done with it before it was asked.
    """

    title: str
    dataset: str
    place: str
    classes: Mapping[str, str]
    only: str | None = None
    looked: str = "looked at once, at the end"


SETS = (
    Asked(
        "UTKinect", "utkinect", "skeletons/utkinect.tar.xz",
        {
            "walk": "walk", "sitDown": "sit down", "standUp": "stand up", "pickUp": "pick up",
            "throw": "throw", "push": "push", "waveHands": "wave", "clapHands": "clap", "pull": NOTHING_ELSE,
        },
    ),
    Asked(
        "JHMDB, test split 1", "jhmdb", "skeletons/jhmdb",
        {
            "clap": "clap", "jump": "jump", "pick": "pick up", "push": "push", "run": "run",
            "sit": "sit down", "stand": "stand up", "throw": "throw", "walk": "walk", "wave": "wave",
            **dict.fromkeys(("catch", "pour", "golf", "pullup"), NOTHING_ELSE),
        },
        "test",
    ),
    Asked(
        "MSR-Action3D", "msr_action3d", "skeletons/msraction3d.tar.xz",
        {
            "high arm wave": "wave", "two hand wave": "wave", "forward punch": "punch",
            "side boxing": "punch", "high throw": "throw", "hand clap": "clap", "bend": "bend",
            "forward kick": "kick", "side kick": "kick", "jogging": "run",
            **dict.fromkeys(
                ("hammer", "hand catch", "draw x", "draw tick", "draw circle", "golf swing", "tennis swing"),
                NOTHING_ELSE,
            ),
        },
        looked="its scores were seen while the generator's variety was developed",
    ),
)  # fmt: skip
INTERACTIONS = {
    "kick": "kick", "punch": "punch", "push": "push",
    **dict.fromkeys(("hug", "handshake", "point"), NOTHING_ELSE),
}  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """What the model says of N clips with a known movement.

    Attributes:
        probabilities: (N, K) over `CLASSES`.
        theirs: The class of each in its own set.
        truth: The movement of each, by its name in `CLASSES`.
        groups: The performer or recording of each.
    """

    probabilities: np.ndarray
    theirs: tuple[str, ...]
    truth: tuple[str, ...]
    groups: tuple[str | None, ...]

    def said(self, *, rest: bool = True) -> np.ndarray:
        """The most probable class of each clip, with the rest class or without it."""
        p = self.probabilities if rest else self.probabilities[:, :-1]
        return np.take(np.array(CLASSES), p.argmax(1))

    def score(self, names: Iterable[str], *, rest: bool = True) -> str:
        """Fraction of the clips of these movements that get their name, with its interval; "" for none."""
        of_them = np.isin(np.array(self.truth), list(names))
        return str(self.measured(names, rest=rest)) if of_them.any() else ""

    def measured(self, names: Iterable[str], *, rest: bool = True) -> Score:
        """The same as a number; of these movements there are clips."""
        of_them = np.isin(np.array(self.truth), list(names))
        right = self.said(rest=rest) == np.array(self.truth)
        return Score(float(right[of_them].mean()), *recall_interval(of_them, right, self.groups))

    def accuracy(self, names: Iterable[str]) -> float:
        """The same, in per cent."""
        of_them = np.isin(np.array(self.truth), list(names))
        return 100 * float((self.said() == np.array(self.truth))[of_them].mean())


def projected(poses: Poses) -> Poses:
    """Joints in a Kinect's space in the picture that it took: x to its left, y up, z away from it, metres."""
    if poses.frame_size is not None:
        return poses
    points = poses.keypoints.astype(np.float64)
    scale = -_FOCAL_PX / np.maximum(points[..., 2:], _NEAREST_M)
    middle = (np.array(_FRAME[::-1]) - 1) / 2
    pixels = (points[..., :2] * scale + middle).astype(np.float32)
    pixels = np.where(poses.scores[..., None] > 0, pixels, 0)
    boxes = np.empty(0, np.float32)
    return replace(poses, keypoints=pixels, frame_size=_FRAME, boxes=boxes, world=None)


def cut(poses: Poses, span: tuple[float, float] | None) -> Poses:
    """The poses of a span, from time 0."""
    if span is None:
        return poses
    inside = np.flatnonzero((poses.times >= span[0] - 1e-6) & (poses.times < span[1] - 1e-6))
    part = poses[inside]
    return replace(part, times=part.times - part.times[0])


def ask(asked: Asked, data: Path, predictor: VideoPredictor) -> Answers:
    """The answers to a set of joints."""
    rows: list[tuple[Path, str, str | None]] = []
    with tempfile.TemporaryDirectory() as folder, opened(data / asked.place) as source:
        for label, group, poses in _labelled(asked, source):
            path = Path(folder) / f"{len(rows):05d}{SUFFIX}"
            write_poses(poses, path)
            rows.append((path, label, group))
        answers = list(predictor.predict_many([path for path, _, _ in rows]))
    seen = [(row, each) for row, each in zip(rows, answers, strict=True) if not isinstance(each, Skipped)]
    return Answers(
        np.stack([each.probabilities for _, each in seen]),
        tuple(label for (_, label, _), _ in seen),
        tuple(asked.classes[label] for (_, label, _), _ in seen),
        tuple(group for (_, _, group), _ in seen),
    )


def _labelled(asked: Asked, source: Path) -> Iterator[tuple[str, str | None, Poses]]:
    """Class, group and poses of each clip that is asked about."""
    for item in DATASETS.get(asked.dataset).read(source):
        if not isinstance(item, Recording):
            continue
        if asked.only is not None and item.protocols[0][1] != asked.only:
            continue
        for part in item.parts:
            if part.label in asked.classes:
                yield part.label, item.group, projected(cut(item.poses, part.span))


def extracted(videos: Sequence[Path], root: Path, folder: Path, model: Path) -> Extracts:
    """The folder of MediaPipe's poses of videos below `root`, as far as they are not there yet."""
    extracts = Extracts(folder, root)
    extract(videos, PoseExtractor(PoseSettings(model=model)), extracts=extracts, workers=1)
    return extracts


def interactions(predictor: VideoPredictor, data: Path, folder: Path) -> Answers:
    """The answers to UT-Interaction, set 1, by the joints that MediaPipe finds."""
    root = data / "videos" / "ut_interaction_set1"
    with (root / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    videos = [root / row["path"] for row in rows]
    extracts = extracted(videos, root, folder / "ut", data / "weights" / "pose_landmarker_lite.task")
    files = [extracts.place(video, SUFFIX) for video in videos]
    answers = list(predictor.predict_many(files))
    seen = [(row, each) for row, each in zip(rows, answers, strict=True) if not isinstance(each, Skipped)]
    labels = tuple(row["label"] for row, _ in seen)
    return Answers(
        np.stack([each.probabilities for _, each in seen]),
        labels,
        tuple(INTERACTIONS[label] for label in labels),
        tuple(row["group"] for row, _ in seen),
    )


def falls(
    predictor: VideoPredictor,
    data: Path,
    folder: Path,
    window_s: float = WINDOW_S,
    stride_s: float = STRIDE_S,
) -> dict[str, Timeline]:
    """The answers to URFD's two recordings, window by window.

    The files show depth on the left and colour on the right; joints are looked for in the colour half.
    """
    lines = {}
    for name, what in (("fall-01-cam0", "fall"), ("adl-01-cam0", "daily activity")):
        half = folder / "urfd" / f"{name}.mp4"
        if not half.is_file():
            half.parent.mkdir(parents=True, exist_ok=True)
            _write_colour_half(data / "videos" / "samples" / f"{name}.mp4", half)
        extracts = extracted([half], half.parent, half.parent, data / "weights" / "pose_landmarker_lite.task")
        file = extracts.place(half, SUFFIX)
        lines[what] = predictor.timeline(file, window_s=window_s, stride_s=stride_s)
    return lines


def _write_colour_half(source: Path, target: Path) -> None:
    """The right half of a video."""
    with Video.open(source) as video:
        frames = video.frames_at(video.frame_times()).data
        half = frames.shape[3] // 2
        size = (frames.shape[2], half)
        with VideoWriter(target, size, video.fps or 30, quality=12, threads=1) as writer:
            for frame in frames[..., half:]:
                writer.write(frame)


def rows_of(title: str, answers: Answers) -> list[Row]:
    """How often each class of a set is recognised, and its movements together."""
    moves = [name for name in dict.fromkeys(answers.truth) if name != NOTHING_ELSE]
    mapped = dict(zip(answers.theirs, answers.truth, strict=True))
    rows = [
        _row(title, f"{theirs} = {ours}", _of(answers, theirs), [ours]) for theirs, ours in mapped.items()
    ]
    rows.append(_row(title, "all movements", answers, moves))
    if NOTHING_ELSE in answers.truth:
        rows.append(_row(title, f"all of {NOTHING_ELSE}", answers, [NOTHING_ELSE]))
    return rows


def _of(answers: Answers, theirs: str) -> Answers:
    """The clips of a class of the set."""
    kept = [i for i, name in enumerate(answers.theirs) if name == theirs]
    return Answers(
        answers.probabilities[kept],
        tuple(answers.theirs[i] for i in kept),
        tuple(answers.truth[i] for i in kept),
        tuple(answers.groups[i] for i in kept),
    )


def _row(title: str, name: str, answers: Answers, truth: Sequence[str]) -> Row:
    of_them = np.isin(np.array(answers.truth), list(truth))
    most = Counter(answers.said()[of_them].tolist()).most_common(3)
    knows = set(truth) != {NOTHING_ELSE} and set(answers.truth) != {NOTHING_ELSE}
    return {
        "footage": title,
        "truth": name,
        "clips": int(of_them.sum()),
        f"right among all {len(CLASSES)}": answers.score(truth),
        f"without {NOTHING_ELSE}": answers.score(truth, rest=False) if knows else "",
        "most frequent answers": ", ".join(f"{said} {count}" for said, count in most),
    }


def fall_row(name: str, line: Timeline) -> Row:
    """How many windows of a recording are called a fall, and what else they are called."""
    said = [CLASSES[i] for i in line.probabilities.argmax(axis=1)]
    return {
        "footage": "URFD, MediaPipe's joints",
        "truth": name,
        "clips": len(said),
        f"right among all {len(CLASSES)}": f"{said.count('fall')} windows called fall",
        f"without {NOTHING_ELSE}": "",
        "most frequent answers": ", ".join(f"{a} {n}" for a, n in Counter(said).most_common(3)),
    }


def goals_of(utkinect: Answers, lines: Mapping[str, Timeline]) -> list[str]:
    """The goals: UTKinect's mapped movements, and the fall."""
    moves = [name for name in dict.fromkeys(utkinect.truth) if name != NOTHING_ELSE]
    found = {
        name: "fall" in {CLASSES[i] for i in line.probabilities.argmax(1)} for name, line in lines.items()
    }
    right = found["fall"] and not found["daily activity"]
    told = "; ".join(f"{name}: {'a fall' if seen else 'no fall'}" for name, seen in found.items())
    return [
        goal("UTKinect's mapped movements", utkinect.accuracy(moves), GOAL, " %"),
        f"A fall told from a daily activity (URFD's two recordings; {told}): {'met' if right else 'missed'}",
    ]


def again_goals(shipped: Mapping[str, Answers], made_again: Mapping[str, Answers]) -> list[str]:
    """Whether weights that the same recipe made again are within the interval of those shipped, by set."""
    lines = []
    for title, answers in shipped.items():
        moves = [name for name in dict.fromkeys(answers.truth) if name != NOTHING_ELSE]
        score, other = answers.measured(moves), made_again[title].measured(moves)
        met = (score.low or 0.0) <= other.value <= (score.high or 1.0)
        lines.append(
            f"{title}, weights made again: {100 * other.value:.1f} % (goal: within the interval of those "
            f"shipped, {score}): {'met' if met else 'missed'}"
        )
    return lines


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--again", type=Path, help="weights that `benchmarks.box pose --out FILE` made again")
    parser.add_argument("--extracts", type=Path, default=Path("runs/box_poses"), help="MediaPipe's poses")
    parser.add_argument("--model", type=Path, default=POSE_MODEL, help="the model file that is asked")
    args = parser.parse_args()
    if DATA not in os.environ:
        parser.error(
            f"the footage is read from {DATA}; set it to the folder that holds skeletons/ and videos/"
        )
    data = Path(os.environ[DATA])
    predictor = load(args.model, compute=Compute("cpu", "fp32", True))
    answers = {each.title: ask(each, data, predictor) for each in SETS}
    lines = falls(predictor, data, args.extracts)
    rows = [row for title, each in answers.items() for row in rows_of(title, each)]
    rows += rows_of("UT-Interaction set 1, MediaPipe's joints", interactions(predictor, data, args.extracts))
    rows += [fall_row(name, line) for name, line in lines.items()]
    known = "; ".join(f"{k}: {100 * v:.1f} %" for k, v in predictor.provenances[0].scores.items())
    joints = (
        "Joints in space are projected into the picture that their sensor took; 15 and 20 joints are mapped"
    )
    windows = f"windows of {WINDOW_S:g} s every {STRIDE_S:g} s of the colour half"
    missed = (
        "What comes straight towards the camera hardly moves in the picture: pushes and blows from the front "
        "are missed, and small claps before the chest are taken for blows"
    )
    notes = [
        *(f"{each.title}: {each.looked}" for each in SETS),
        "UTKinect's carry is not asked about: it is walking and carrying at once",
        f"{joints} to COCO's by name, eyes and ears are missing in both",
        f"URFD: {windows}, a fall's where one shows a fall; seen once before, of other weights",
        missed,
        f"Generated people of other performers: {known}",
    ]
    title = "The recogniser in the box on joints: generated people learnt, real ones asked"
    goals = goals_of(answers["UTKinect"], lines)
    if args.again:
        again = load(args.again, compute=Compute("cpu", "fp32", True))
        goals += again_goals(answers, {each.title: ask(each, data, again) for each in SETS})
    finish("box_poses", title, parser, args, rows, goals, notes)


if __name__ == "__main__":
    main()
