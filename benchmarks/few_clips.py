"""What one, five and ten real clips a class teach: from the weights in the box, from scratch, from MoViNet's.

    python -m benchmarks.few_clips [--only TEXT] [--draws N] [--steps N] [--movinet FILE] [--work FOLDER]

Clips to learn from are drawn several times; a group (a sequence, a source video, a subject) never has clips
on both sides. All starts of a draw learn from the same clips, see the same number of steps and are tested on
the same clips, so that differences have paired intervals. Two budgets:

whole   all weights learn, from the box's or from scratch, as many steps of at most 8 clips;
linear  the network stays as it is and a linear classifier learns on its features: the box's and MoViNet's.

Answers are kept in the work folder and taken again by the same command. Needs KINESPHERE_TEST_DATA; MoViNet's
weights are compared where `--movinet` names a model file (`kinesphere import`, see the recipes).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.record import Row, command_line, finish
from kinesphere.clips.clip import stack
from kinesphere.clips.modalities.pose.file import read_poses, write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.modality import MODALITIES, sees_frames
from kinesphere.clips.spec import ClipSpec, Sampling, Views
from kinesphere.core.download import digest
from kinesphere.core.labels import LabelSet
from kinesphere.data import Manifest
from kinesphere.data.sample import Sample
from kinesphere.data.sources import Opening
from kinesphere.datasets.importing import import_skeletons
from kinesphere.evaluate.paired import mean_share, share_difference
from kinesphere.models import Recogniser, create_model, load_model
from kinesphere.models.box import FOLDER
from kinesphere.models.create import with_specs

DATA = "KINESPHERE_TEST_DATA"
WORK = Path("runs/few_clips")
DRAWS = 5
VIEWS = Views(3, 1)
_BATCH = 8
_SMOOTHING = 0.1
# Rates of the recipes: those that train from scratch, and those that start from weights, with the head's.
_RATES = {True: (3e-3, 3e-3), False: (1e-3, 3e-3)}
# Kinect's colour camera: focal length in pixels of a frame of 480 x 640.
_FOCAL_PX, _FRAME = 525.0, (480, 640)


@dataclass(frozen=True)
class RealSet:
    """A set of real clips.

    Attributes:
        title: For the table.
        clips: Clips of each class to learn from.
        steps: Of training whole.
        read: Its samples, from the folder of the data and the work folder.
    """

    title: str
    clips: tuple[int, ...]
    steps: int
    read: Callable[[Path, Path], Manifest]


@dataclass(frozen=True, eq=False)
class Clips:
    """All clips of a set as one network takes them.

    Attributes:
        inputs: `(N, V, T, ...)`, as they are stored: pixels uint8, joints float.
        targets: `(N,)` class indices.
        groups: Group of each clip.
        labels: The classes.
        spec: The contract by which they were read.
    """

    inputs: Tensor
    targets: np.ndarray
    groups: tuple[str, ...]
    labels: LabelSet
    spec: ClipSpec

    def normalised(self, rows: Sequence[int], views: Sequence[int] | None = None) -> Tensor:
        """Floats `(n, T, ...)` of one view of each row, or `(n * V, T, ...)` of all."""
        chosen = self.inputs[list(rows)]
        picked = chosen.flatten(0, 1) if views is None else chosen[range(len(rows)), list(views)]
        return MODALITIES.get(self.spec.modality).normalise(picked, self.spec, torch.float32)


def videos(name: str) -> Callable[[Path, Path], Manifest]:
    """Reads a set of videos with a table of labels."""
    return lambda data, work: Manifest.read(data / "videos" / name / "labels.csv")


def projected(data: Path, work: Path) -> Manifest:
    """UTKinect's joints in space as a camera in the sensor's place sees them, in pixels."""
    source, target = work / "utkinect", work / "utkinect_px"
    if not (source / "manifest.csv").is_file():
        import_skeletons("utkinect", data / "skeletons" / "utkinect.tar.xz", source)
    for path in sorted((source / "poses").glob("*.pose.npz")):
        place = target / "poses" / path.name
        if not place.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            write_poses(in_pixels(read_poses(path)), place)
    (target / "manifest.csv").write_bytes((source / "manifest.csv").read_bytes())
    return Manifest.read(target / "manifest.csv")


def in_pixels(poses: Poses) -> Poses:
    """Joints in metres before a Kinect, x to its left, y up and z away from it, on its image."""
    x, y, z = np.moveaxis(poses.keypoints, -1, 0)
    depth = np.maximum(z, 0.1)
    height, width = _FRAME
    px = np.stack([width / 2 - _FOCAL_PX * x / depth, height / 2 - _FOCAL_PX * y / depth], -1)
    seen = np.where(np.isfinite(px).all(-1), poses.scores, 0).astype(np.float32)
    px = np.where(seen[..., None] > 0, px, 0).astype(np.float32)
    return Poses(
        poses.times, px, seen, poses.tracks, poses.skeleton, _FRAME, fps=poses.fps, origin=poses.origin
    )


SETS = {
    "ut": RealSet("UT-Interaction set 1, pixels", (1, 5, 8), 60, videos("ut_interaction_set1")),
    "fights": RealSet("surveillance fights, pixels", (1, 5, 10), 60, videos("surveillance_fight")),
    "utkinect": RealSet("UTKinect-Action3D, projected joints", (1, 5, 10), 200, projected),
}


def read_clips(manifest: Manifest, spec: ClipSpec) -> Clips:
    """Every sample of a set, decoded once."""
    samples = [sample for sample in manifest if sample.labels]
    inputs = torch.stack([_views(manifest, sample, spec) for sample in samples])
    targets = np.array([manifest.labels.index(sample.labels[0]) for sample in samples])
    groups = tuple(sample.group or sample.id for sample in samples)
    return Clips(inputs, targets, groups, manifest.labels, spec)


def _views(manifest: Manifest, sample: Sample, spec: ClipSpec) -> Tensor:
    path = manifest.root / sample.path
    with Opening().open(path, [spec], span=sample.span) as video:
        return stack(MODALITIES.get(spec.modality).read(video, spec, sample.span, views=VIEWS))


def draw(targets: np.ndarray, groups: Sequence[str], clips: int, seed: int) -> tuple[list[int], list[int]]:
    """Rows to learn from, `clips` of each class, and rows to be tested on: all of groups not drawn from."""
    generator = np.random.default_rng((seed, clips))
    left = generator.permutation(sorted(set(groups))).tolist()
    drawn: set[str] = set()
    classes = sorted(set(targets.tolist()))
    while (
        min(sum(g in drawn and t == k for g, t in zip(groups, targets, strict=True)) for k in classes) < clips
    ):
        drawn.add(left.pop())
    inside = np.array([group in drawn for group in groups])
    learn = [
        int(row)
        for k in classes
        for row in generator.permutation(np.flatnonzero(inside & (targets == k)))[:clips]
    ]
    return learn, np.flatnonzero(~inside).tolist()


def tuned(
    recogniser: Recogniser, clips: Clips, learn: Sequence[int], steps: int, *, afresh: bool
) -> Recogniser:
    """The recogniser after so many steps on some clips, all weights learning.

    Args:
        recogniser: With a head of the clips' classes.
        clips: The set.
        learn: Rows to learn from.
        steps: Of at most 8 clips each, one random view of each, half of the frames mirrored.
        afresh: Whether its weights are random, for the learning rate.
    """
    generator = np.random.default_rng(0)
    rate, head_rate = _RATES[afresh]
    (*body, (_, head)) = recogniser.stage_parameters()
    groups = [
        {"params": [p for _, each in body for p in each.values()], "lr": rate},
        {"params": list(head.values()), "lr": head_rate},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    warm = max(1, steps // 10)
    curve = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * step / steps))
    )
    recogniser.train()
    for rows in _batches(learn, steps, generator):
        x = clips.normalised(rows, generator.integers(clips.inputs.shape[1], size=len(rows)).tolist())
        if sees_frames([clips.spec]):
            mirrored = torch.from_numpy(generator.random(len(rows)) < 0.5)
            x[mirrored] = x[mirrored].flip(-1)
        wanted = torch.from_numpy(clips.targets[rows])
        loss = nn.functional.cross_entropy(recogniser(x), wanted, label_smoothing=_SMOOTHING)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        curve.step()
    return recogniser.eval()


def _batches(rows: Sequence[int], steps: int, generator: np.random.Generator) -> Iterator[list[int]]:
    order: list[int] = []
    for _ in range(steps):
        while len(order) < min(_BATCH, len(rows)):
            order += generator.permutation(list(rows)).tolist()
        batch, order = order[:_BATCH], order[_BATCH:]
        yield batch


@torch.inference_mode()
def answers(recogniser: Recogniser, clips: Clips, rows: Sequence[int]) -> np.ndarray:
    """The class that a recogniser gives each row, of the mean over its views."""
    found = []
    for start in range(0, len(rows), _BATCH):
        some = rows[start : start + _BATCH]
        each = recogniser(clips.normalised(some)).softmax(-1).unflatten(0, (len(some), -1))
        found.append(each.mean(1).argmax(-1))
    return torch.cat(found).numpy()


@torch.inference_mode()
def features(recogniser: Recogniser, clips: Clips) -> Tensor:
    """What the last layer is given of every clip, `(N, F)`, the mean over its views."""
    kept: list[Tensor] = []
    head = recogniser.net.get_submodule(recogniser.card.head[0])
    handle = head.register_forward_pre_hook(lambda _, given: kept.append(given[0].flatten(1)))
    try:
        for start in range(0, len(clips.targets), _BATCH):
            rows = range(start, min(start + _BATCH, len(clips.targets)))
            recogniser(clips.normalised(rows))
            kept[-1] = kept[-1].unflatten(0, (len(rows), -1)).mean(1)
    finally:
        handle.remove()
    return torch.cat(kept)


def linear_answers(x: Tensor, targets: np.ndarray, learn: Sequence[int], test: Sequence[int]) -> np.ndarray:
    """The answers of a linear classifier (logistic regression with L2, features standardised)."""
    known = x[list(learn)]
    scale = known.std(0).clamp(min=1e-6) if len(learn) > 1 else torch.ones(x.shape[1])
    ready = (x - known.mean(0)) / scale
    layer = nn.Linear(x.shape[1], int(targets.max()) + 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    wanted = torch.from_numpy(targets[list(learn)])
    solver = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = nn.functional.cross_entropy(layer(ready[list(learn)]), wanted)
        loss = loss + 0.5 * layer.weight.square().sum() / len(learn)
        loss.backward()
        return loss

    solver.step(closure)
    with torch.inference_mode():
        return layer(ready[list(test)]).argmax(-1).numpy()


class Starts:
    """The networks that a set's clips are shown to, each read when it is first asked for.

    Args:
        manifest: The set.
        box: The model file of the box that fits it.
        movinet: MoViNet's model file, for sets of videos; None to leave it out.
        steps: Of training whole.
    """

    def __init__(self, manifest: Manifest, box: Path, movinet: Path | None, steps: int) -> None:
        self.manifest = manifest
        self.steps = steps
        self._files = {"box": box} | ({"movinet": movinet} if movinet is not None else {})

    @property
    def names(self) -> tuple[str, ...]:
        """What is compared."""
        return ("scratch", "box", "box, linear", *(["movinet, linear"] if "movinet" in self._files else []))

    @cached_property
    def clips(self) -> Clips:
        """As the box's network takes them."""
        return read_clips(self.manifest, load_model(self._files["box"]).specs[0])

    @cached_property
    def _features(self) -> dict[str, Tensor]:
        return {}

    def version(self, name: str) -> str:
        """A digest of what an answer depends on."""
        if name == "scratch":  # not on the weights, but on the network
            net = load_model(self._files["box"])
            on = json.dumps([net.card.name, dict(net.arguments), [spec.to_json() for spec in net.specs]])
        else:
            on = digest(self._files[name.partition(",")[0]])
        text = f"{on} {self.steps}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def right(self, name: str, learn: Sequence[int], test: Sequence[int], seed: int) -> np.ndarray:
        """Which rows of the test a start gets right after what it learnt, bool `(n,)`."""
        targets = self.clips.targets
        file, _, budget = name.partition(", ")
        if budget:
            said = linear_answers(self._features_of(file), targets, learn, test)
        else:
            torch.manual_seed(seed)
            net = tuned(self._start(name), self.clips, learn, self.steps, afresh=name == "scratch")
            said = answers(net, self.clips, test)
        return said == targets[list(test)]

    def _features_of(self, file: str) -> Tensor:
        if file not in self._features:
            recogniser = load_model(self._files[file])
            if file == "box":
                clips = self.clips
            else:  # as its recipes read it
                spec = replace(
                    recogniser.specs[0],
                    sampling=Sampling("uniform", 16),
                    size=(128, 128),
                    resize="stretch",
                    fps=None,
                    short_side_px=None,
                )
                clips = read_clips(self.manifest, with_specs(recogniser, [spec]).specs[0])
            self._features[file] = features(recogniser, clips)
        return self._features[file]

    def _start(self, name: str) -> Recogniser:
        box = load_model(self._files["box"])
        if name == "scratch":
            return create_model(
                box.card.name, self.clips.labels, spec=box.specs, arguments=dict(box.arguments)
            )
        box.reset_head(self.clips.labels)
        return box


def measure(name: str, starts: Starts, draws: int, kept: Path) -> Iterator[dict[str, object]]:
    """Answers of all starts to all draws of a set; those that the file keeps are not asked for again."""
    done = {}
    if kept.is_file():
        lines = map(json.loads, kept.read_text(encoding="utf-8").splitlines())
        done = {tuple(line["key"]): line for line in lines}
    for clips in SETS[name].clips:
        for seed in range(draws):
            for start in starts.names:
                key = (name, clips, seed, start, starts.version(start))
                if key not in done:
                    learn, test = draw(starts.clips.targets, starts.clips.groups, clips, seed)
                    right = starts.right(start, learn, test, seed)
                    groups = [starts.clips.groups[row] for row in test]
                    done[key] = {"key": key, "right": right.tolist(), "groups": groups}
                    print(*key[:4], f"{right.mean():.1%}", flush=True)
                    with kept.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(done[key]) + "\n")
                yield done[key]


def rows_of(name: str, found: Sequence[dict[str, object]]) -> list[Row]:
    """A line for each number of clips: every start's score, and differences on the same clips."""
    rows: list[Row] = []
    for clips in SETS[name].clips:
        some = [each for each in found if each["key"][1] == clips]
        starts = list(dict.fromkeys(each["key"][3] for each in some))
        of = {start: [each for each in some if each["key"][3] == start] for start in starts}
        right = {
            start: np.concatenate([each["right"] for each in of[start]]).astype(bool) for start in starts
        }
        groups = [group for each in of[starts[0]] for group in each["groups"]]
        row: dict[str, str | int | float] = {
            "set": SETS[name].title, "clips a class": clips, "answers": len(groups),
        }  # fmt: skip
        for start in ("scratch", "box", "box, linear", "movinet, linear"):
            row[start] = str(mean_share(right[start].astype(float), groups)) if start in right else "–"
        pairs = (("scratch", "box"), ("movinet, linear", "box, linear"))
        for one, other in pairs:
            known = one in right and other in right
            difference = share_difference(right[one], right[other], groups) if known else None
            row[f"{other} – {one}"] = "–" if difference is None else str(difference)
        rows.append(row)
    return rows


def held(rows: Sequence[Row]) -> list[str]:
    """What the table says of the box's weights as a start, in words."""
    verdicts = [str(row["box – scratch"]) for row in rows]
    above = sum("[+" in text for text in verdicts)
    below = sum(text.count("-") == 3 for text in verdicts)
    line = (
        f"From the box against from scratch: better in {above} of {len(rows)} rows, worse in {below} (the "
        f"whole interval on one side of 0), no difference shown in {len(rows) - above - below}."
    )
    return [line]


def box_file(*, frames: bool) -> Path:
    """The model file of the box that looks at frames, or the one that does not."""
    for path in sorted(FOLDER.glob("*.safetensors")):
        if sees_frames(load_model(path).specs) == frames:
            return path
    raise SystemExit(f"{FOLDER} holds no model of {'frames' if frames else 'poses'}.")


NOTES = (
    "Top-1 over the test clips of all draws; intervals are 95 %, over groups, differences on the same clips.",
    (
        "scratch and box: all weights learn, the same steps of at most 8 clips (60 on pixels, 200 on joints);"
        " longer training may help those from scratch. linear: the network stays as it is and a linear "
        "classifier learns on its features. movinet: MoViNet-A0-Stream (Kinetics-600, then cattle)."
    ),
    (
        "UT-Interaction has ten sequences with one clip a class each: ten clips a class would leave none to "
        "test, so the last row of it has eight."
    ),
)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument(
        "--only", default="", metavar="TEXT", help=f"only sets of {', '.join(SETS)} with TEXT"
    )
    parser.add_argument("--draws", type=int, default=DRAWS, help=f"draws of clips (default: {DRAWS})")
    parser.add_argument("--steps", type=int, default=0, help="steps of training (default: each set's own)")
    parser.add_argument("--movinet", type=Path, default=None, metavar="FILE", help="MoViNet's model file")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of what is kept")
    args = parser.parse_args()
    if DATA not in os.environ:
        raise SystemExit(f"{DATA} must name the folder of the real clips.")
    data = Path(os.environ[DATA])
    args.work.mkdir(parents=True, exist_ok=True)
    table: list[Row] = []
    for name, each in SETS.items():
        if args.only not in name:
            continue
        manifest = each.read(data, args.work)
        frames = each.read is not projected
        movinet = args.movinet if frames else None
        starts = Starts(manifest, box_file(frames=frames), movinet, args.steps or each.steps)
        found = list(measure(name, starts, args.draws, args.work / "answers.jsonl"))
        table += rows_of(name, found)
    files = [f"{path.name} {digest(path)[:8]}" for path in sorted(FOLDER.glob("*.safetensors"))]
    title = "A few real clips: from the weights in the box and from scratch"
    finish("few_clips", title, parser, args, table, held(table), (*NOTES, f"Weights: {', '.join(files)}."))


if __name__ == "__main__":
    main()
