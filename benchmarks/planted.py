"""Explanation methods against planted truth: a moving patch that alone decides, beside an equal distractor.

    python -m benchmarks.planted [--seeds 10 11 12] [--kinds CNN LSTM transformer skeleton]

Fixed before anything is measured: a network of each kind learns generated clips (`benchmarks.planted_clips`)
anew for each seed, and is explained on new clips of that seed, those that it answers right; a network that
does not answer 95 % of them right has not learnt the task, and is left out. Judged are

- pointing: whether the patch touches the hottest tube of 2 frames x 8 x 8 px, coarser maps interpolated;
- pointing within a cell, the usual tolerance of the game: whether the patch touches the hottest of
  the method's own cells where these are coarser than tubes; of skeletons, whether the hottest joint is the
  one that decides or a neighbour along a bone;
- energy: the share of all heat above 0 on the patch and on the distractor;
- sanity: the rank correlation of maps with those of the network whose layers are all random, from the head
  down (`kinesphere.explain.sanity`), by whose rule methods above a half do not look at what was learnt.

Nothing is timed.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.planted_clips import LEARNERS, NOTHING, Planted, answered_right, trained
from benchmarks.record import RESULTS, Row, command_line, finish
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.core.device import cpu_count
from kinesphere.explain.geometry import TILES, Offset, fill_cells
from kinesphere.explain.method import METHODS, Settings
from kinesphere.explain.sanity import Sanity, check_sanity
from kinesphere.explain.target import Scored, Target

TUBES = (4, 8, 8)
WITHOUT_PLACE = ("frame_gradient", "frame_occlusion", "limb_occlusion")
"""Their cells are whole frames and limbs: of the patch they tell the time, or the arm."""
LEAST_POINTING, MOST_ENERGY = 0.95, 0.2
LEARNT = 0.95
CLIPS = 40
"""Of which a third has no patch."""
CHECKED = 4
"""Clips of the sanity check."""


@dataclass(frozen=True)
class Judged:
    """One method on clips of one network; fractions of each clip `(N,)`."""

    strict: Tensor
    within: Tensor
    chance: Tensor
    on_patch: Tensor
    on_distractor: Tensor


def settings(kind: str) -> Settings:
    return Settings(
        layer=LEARNERS[kind].layer, steps=32, most_steps=32, tube=(4, 16, 16), masks=300, cells=(4, 8, 8),
        batch=16,
    )  # fmt: skip


def methods(kind: str, seed: int) -> list[str]:
    """Those that are defined for a kind of network, and tell a place."""
    network = trained(kind, seed)
    return [name for name in METHODS if name not in WITHOUT_PLACE and not METHODS.get(name).refusal(network)]


def judged(kind: str, seed: int, method: str, clips: Planted, how: Settings) -> Judged:
    """Hold a method's maps against what was planted."""
    found = []
    for label in range(NOTHING):
        of_class = clips.labels == label
        if not of_class.any():
            continue
        scored = Scored(trained(kind, seed), Target(label))
        (heat,) = METHODS.get(method).heat(scored, (clips.clips[of_class],), how)
        assert heat is not None
        heat, patch, distractor = heat.clamp(min=0), clips.patch[of_class], clips.distractor[of_class]
        if kind == "skeleton":
            found.append(_of_joints(heat, patch, distractor))
        else:
            (offset,) = METHODS.get(method).offsets(scored.recogniser, (clips.clips[of_class],), how)
            found.append(_of_pixels(heat, patch, distractor, offset))
    return Judged(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _of_pixels(heat: Tensor, patch: Tensor, distractor: Tensor, offset: Offset = TILES) -> tuple[Tensor, ...]:
    """The fields of `Judged` for heat `(B, t, h, w)`."""
    fine = fill_cells(heat, (patch.shape[1], patch.shape[2], patch.shape[3]), offset)
    tubes, own = _hit(fine, patch, TUBES), [min(a, b) for a, b in zip(heat.shape[1:], TUBES, strict=True)]
    cells = _pooled(patch, tuple(own)) > 0
    hit = _hit(heat, patch, tuple(own)) if tuple(own) != TUBES else tubes
    return tubes, hit, cells.float().mean(1), *_energy(fine, patch, distractor)


def _hit(heat: Tensor, patch: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Whether the patch touches the hottest cell of a grid."""
    hottest = _pooled(heat, grid).argmax(1, keepdim=True)
    return (_pooled(patch, grid).gather(1, hottest)[:, 0] > 0).float()


def _pooled(values: Tensor, grid: tuple[int, ...]) -> Tensor:
    return F.adaptive_avg_pool3d(values[:, None].float(), grid).flatten(1)


def _of_joints(heat: Tensor, patch: Tensor, distractor: Tensor) -> tuple[Tensor, ...]:
    """The fields of `Judged` for heat `(B, T, M, J)`."""
    near = patch.clone()
    for one, other in SKELETONS.get("coco17").bones:
        near[..., one] |= patch[..., other]
        near[..., other] |= patch[..., one]
    hottest = heat.flatten(1).argmax(1, keepdim=True)
    strict, within = (where.flatten(1).gather(1, hottest)[:, 0].float() for where in (patch, near))
    return strict, within, near.flatten(1).float().mean(1), *_energy(heat, patch, distractor)


def _energy(heat: Tensor, patch: Tensor, distractor: Tensor) -> tuple[Tensor, Tensor]:
    whole = heat.flatten(1).sum(1)
    shares = ((heat * where).flatten(1).sum(1) / whole for where in (patch, distractor))
    patch_share, distractor_share = (torch.where(whole > 0, share, 0.0) for share in shares)
    return patch_share, distractor_share


def sanity(kind: str, seed: int, method: str, clips: Planted, how: Settings) -> Sanity:
    """The sanity check of a method on some clips of one class."""
    chosen = clips.clips[clips.labels == 0][:CHECKED]
    return check_sanity(trained(kind, seed), METHODS.get(method), (chosen,), 0, how)


@dataclass(frozen=True)
class Measured:
    """What was found of one network.

    Attributes:
        kind: Of `LEARNERS`.
        seed: Of its training.
        right: Share of new clips that it answers right; below `LEARNT` nothing else is measured.
        methods: Of each method how it points, and its sanity check.
    """

    kind: str
    seed: int
    right: float
    methods: dict[str, tuple[Judged, Sanity]]


def measured(kind: str, seed: int) -> Measured:
    """Train one network, and judge every method that is defined for it."""
    how, lighter = settings(kind), replace(settings(kind), masks=100, samples=16)
    clips, right = answered_right(kind, seed, CLIPS)
    found: dict[str, tuple[Judged, Sanity]] = {}
    for name in methods(kind, seed) if right >= LEARNT else ():
        found[name] = judged(kind, seed, name, clips, how), sanity(kind, seed, name, clips, lighter)
        within, alike = found[name][0].within.mean(), found[name][1].alike[-1]
        print(f"{kind} {seed} {name}: pointing within a cell {within:.2f}, alike {alike:.2f}", flush=True)
    return Measured(kind, seed, right, found)


def table(networks: Sequence[Measured]) -> list[Row]:
    """A row for each kind of network and method, over the networks that have learnt."""
    results: dict[tuple[str, str], list[tuple[Judged, Sanity]]] = {}
    for network in networks:
        for name, found in network.methods.items():
            results.setdefault((network.kind, name), []).append(found)
    return [_row(kind, name, each) for (kind, name), each in results.items()]


def _row(kind: str, name: str, each: Sequence[tuple[Judged, Sanity]]) -> Row:
    def mean(field: str) -> float:
        return float(torch.cat([getattr(judged, field) for judged, _ in each]).mean())

    alike = sum(sanity.alike[-1] for _, sanity in each) / len(each)
    return {
        "network": kind,
        "method": name,
        "clips": sum(len(judged.strict) for judged, _ in each),
        "pointing": f"{mean('strict'):.3f}",
        "within a cell": f"{mean('within'):.3f}",
        "by chance": f"{mean('chance'):.2f}",
        "energy on the patch": f"{mean('on_patch'):.3f}",
        "on the distractor": f"{mean('on_distractor'):.3f}",
        "alike when all is random": f"{alike:.2f}",
        "sanity check": "named" if alike > Sanity.STILL_ALIKE else "",
    }


def outcome(rows: Sequence[Row]) -> list[str]:
    """Which methods miss the bounds, of those that the sanity check does not name and that go by class."""
    held = [row for row in rows if not row["sanity check"] and METHODS.get(str(row["method"])).by_class]
    lines = []
    for column, bound, least in (
        ("pointing", LEAST_POINTING, True),
        ("within a cell", LEAST_POINTING, True),
        ("on the distractor", MOST_ENERGY, False),
    ):
        missed = [row for row in held if (float(row[column]) < bound) == least]
        names = ", ".join(f"{row['network']} {row['method']} {row[column]}" for row in missed)
        lines.append(
            f"{column}, goal {'at least' if least else 'less than'} {bound:g}: met by "
            f"{len(held) - len(missed)} of {len(held)} that depend on the class and that the sanity check "
            f"does not name{'; missed by ' + names if names else ''}"
        )
    return lines


def recorded(name: str) -> list[Row]:
    """The rows of a benchmark's last run, none where there was none."""
    path = RESULTS / f"{name}.json"
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    return rows


def single_threaded() -> None:
    """Processes beside each other have a core each."""
    torch.set_num_threads(1)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--kinds", nargs="+", default=list(LEARNERS), choices=list(LEARNERS))
    parser.add_argument("--processes", type=int, default=cpu_count())
    args = parser.parse_args()
    tasks = [(kind, seed) for kind in args.kinds for seed in args.seeds]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.processes, mp_context=context, initializer=single_threaded) as pool:
        networks = list(pool.map(measured, *zip(*tasks, strict=True)))
    kept = [row for row in recorded("planted") if row["network"] not in args.kinds]
    order = list(LEARNERS)
    rows = sorted([*table(networks), *kept], key=lambda row: order.index(str(row["network"])))
    finish("planted", "Explanations of a planted patch", parser, args, rows, outcome(rows), notes(networks))


def notes(networks: Sequence[Measured]) -> list[str]:
    """How the clips were chosen, and which networks did not learn the task."""
    left_out = [each for each in networks if not each.methods]
    named = "; ".join(f"{each.kind} of seed {each.seed}, {each.right:.0%}" for each in left_out) or "none"
    clips = (
        f"Each network is explained on those of {CLIPS} new clips that have a patch and that it answers "
        "right; nothing was chosen by them. Rows of kinds that a run does not name stay as recorded."
    )
    changed = (
        "Changed since the first record, after looking at why methods missed: the transformer and the "
        "skeleton network learn 1 024 clips in more steps (of 256 clips in 250 and 300 steps two thirds had "
        "learnt the task); the LSTM's maps are made at its own last layer, whose cells are as large as the "
        "patch, and not at its second one, where one weight for a whole channel is too few (both are in "
        "`planted_layers`); cells of a layer lie where they look (`kinesphere.explain.centres`) and not on "
        "even tiles; VideoMAE's own layer is what its last block gives."
    )
    learnt = (
        f"Networks that answer fewer than {LEARNT:.0%} of the new clips right have not learnt what the patch "
        f"says, and are left out: {named}."
    )
    return [clips, learnt, changed]


if __name__ == "__main__":
    main()
