"""How fast frames are read: Kinesphere beside OpenCV, torchcodec, decord and plain PyAV, in one run.

    python -m benchmarks.decode

Every reader opens the file anew and ends with uint8 RGB of 128x171 pixels (H x W). Three tasks: `spread`
takes 16 frames spread evenly over a 20 s clip, `dense` 16 successive ones from its middle, `all` every
frame. `bare` only decodes and throws the frames away: no reader of all frames can be faster. Where a
reader can work in several ways (threads, seeking or reading through), the fastest counts. A process
remembers what its first opening of a file found out; `ours` is a first opening, which alone is held against
the others, `again` a later one. While it runs,
every reader's time is printed; `difference` is the mean absolute distance of pixel values to Kinesphere's
(resampling filters differ). A reader of which some frames resemble a neighbour of the asked frame more
than that frame itself did not do the work and does not count as a peer.

Peers that are not installed are noted. To have them all, in an environment of their own:

    python -m venv bench && . bench/bin/activate
    pip install . && pip install --no-deps -r benchmarks/requirements.txt

torchcodec loads the system's FFmpeg libraries; and its wheel from PyPI is linked to CUDA, so without CUDA
take the CPU wheel from PyTorch's index, or put stand-ins for the CUDA libraries on LD_LIBRARY_PATH (only
its CPU code runs here).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.readers import (
    AGAIN,
    BARE,
    OURS,
    TASKS,
    Row,
    compare,
    fastest,
    faults,
    readers,
    reading_options,
)
from benchmarks.record import command_line, finish, goal, milliseconds, significant
from benchmarks.videos import source_videos


@dataclass(frozen=True)
class Duel:
    """One task on one video: our seconds at a first and at a later opening, a peer's, bare decoding's."""

    video: str
    task: str
    ours_s: float
    again_s: float | None
    peer: str
    peer_s: float | None
    bare_s: float | None

    @property
    def lead(self) -> float | None:
        """The fastest peer's time over ours."""
        return self.peer_s / self.ours_s if self.peer_s else None

    @property
    def over_bare(self) -> float | None:
        """Our time over that of decoding alone."""
        return self.ours_s / self.bare_s if self.bare_s else None

    def row(self) -> dict[str, str]:
        return {
            "video": self.video,
            "task": self.task,
            "ours, ms": milliseconds(self.ours_s),
            "again, ms": milliseconds(self.again_s),
            "fastest peer, ms": milliseconds(self.peer_s),
            "its name": self.peer,
            "peer ÷ ours": significant(self.lead) if self.lead else "",
            "bare, ms": milliseconds(self.bare_s),
            "ours ÷ bare": significant(self.over_bare) if self.over_bare else "",
        }


def duel(rows: Sequence[Row]) -> Duel:
    """Of all readers' times at one task on one video."""
    ours = fastest(rows, lambda name: name == OURS)
    if ours is None or ours.seconds is None:
        raise SystemExit(f"{rows[0].source}, {rows[0].task}: Kinesphere itself failed.")
    bare = fastest(rows, lambda name: name == BARE)
    peer = fastest(rows, lambda name: name not in (OURS, AGAIN, BARE))
    again = fastest(rows, lambda name: name == AGAIN)
    return Duel(
        ours.source,
        ours.task,
        ours.seconds,
        again.seconds if again else None,
        peer.reader if peer else "",
        peer.seconds if peer else None,
        bare.seconds if bare else None,
    )


def goals(duels: Sequence[Duel]) -> list[str]:
    """The worst of all videos decides."""
    lead = [d.lead for d in duels if d.lead]
    whole = [d.over_bare for d in duels if d.over_bare]
    spread = [d.lead for d in duels if d.task == "spread" and d.lead]
    large = [d.over_bare for d in duels if d.over_bare and d.video.startswith("h264 640x480")]
    slower = [f"{d.video}, {d.task}: slower than {d.peer}" for d in duels if d.lead and d.lead < 1]
    return [
        goal("all videos and tasks, speed over the fastest peer", min(lead, default=None), 1),
        *slower,
        goal("all frames, time over bare decoding", max(whole, default=None), 1.3, at_most=True),
        goal(
            "all frames of 640x480 H.264, time over bare decoding",
            max(large, default=None),
            1.2,
            at_most=True,
        ),
        goal(
            "16 frames spread over a 20 s clip, speed over the fastest peer", min(spread, default=None), 1.3
        ),
    ]


def main() -> None:
    parser = command_line(__doc__)
    reading_options(parser)
    args = parser.parse_args()
    rows: list[Row] = []
    duels = []
    # Encoded before any peer is loaded: several builds of FFmpeg in one process disturb each other's
    # encoders.
    with source_videos(args.only, args.videos) as paths:
        candidates, notes = readers()
        for source, path in paths.items():
            for task in TASKS:
                chosen = [reader for reader in candidates if task in reader.tasks]
                timed = compare(chosen, path, source.name, task, args.rounds)
                duels.append(duel(timed))
                rows += timed
    table = [d.row() for d in duels]
    finish("decode", "Reading frames", parser, args, table, goals(duels), [*notes, *faults(rows)])


if __name__ == "__main__":
    main()
