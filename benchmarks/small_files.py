"""Short clips as data sets hold them: how many files a second are opened and read for 16 frames each.

    python -m benchmarks.small_files

The files are 6 s long, 320x240 pixels, H.264 (key frames at most 250 apart) or Xvid AVI. Each reader opens
every file and takes 16 successive frames from its middle as uint8 RGB of 128x171 pixels (H x W), one file
after another in one process. `ours` knows none of the files, as in a first epoch; `again` has opened them
before, as in later epochs. Rounds are interleaved, the best of each reader counts, and so does its fastest
way to work; a reader with wrong frames does not count.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.readers import AGAIN, BARE, OURS, Reader, judge, kinesphere, readers
from benchmarks.record import Row, command_line, finish, goal, significant
from benchmarks.videos import RATE, SOURCES, Source, encode, pictures
from kinesphere.video import Video, remembered

SECONDS = 6
SCENES = 10
KINDS = tuple(s for s in SOURCES if s.size == (240, 320) and s.gop == 250)


def make_files(folder: Path, kind: Source, count: int, frames: int) -> list[Path]:
    """`count` files of `SCENES` different contents; copies are files of their own to every reader."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}{kind.suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        if number < SCENES:
            encode(path, kind, pictures(kind.size, frames, seed=number))
        else:
            shutil.copyfile(paths[number % SCENES], path)
        # What was written a moment ago is not remembered.
        written = path.stat().st_mtime - 60
        os.utime(path, (written, written))
    return paths


def wrong_frames(reader: Reader, paths: Sequence[Path], indices: tuple[int, ...]) -> int:
    """How many frames of the different contents a reader gets wrong."""
    return sum(
        judge(reader.read(path, indices), kinesphere(path, None), indices)[1] for path in paths[:SCENES]
    )


def rates(
    candidates: Sequence[Reader], paths: Sequence[Path], indices: tuple[int, ...], rounds: int
) -> dict[str, float]:
    """Files a second of each reader, the best of all rounds."""
    seconds = {reader.name: float("inf") for reader in candidates}
    for _ in range(rounds):
        for reader in candidates:
            remembered.forget()
            if reader.name == AGAIN:
                for path in paths:
                    Video.open(path).close()
            begin = time.perf_counter()
            for path in paths:
                reader.read(path, indices)
            seconds[reader.name] = min(seconds[reader.name], time.perf_counter() - begin)
    return {name: len(paths) / spent for name, spent in seconds.items()}


def measure(
    kind: Source, paths: Sequence[Path], candidates: Sequence[Reader], frames: int, rounds: int
) -> tuple[dict[str, str], float | None, list[str]]:
    """One line of the table, our speed over the fastest peer's, and the readers that do not count."""
    indices = tuple(range(frames // 2 - 8, frames // 2 + 8))
    sound, notes = [], []
    for reader in candidates:
        try:
            wrong = wrong_frames(reader, paths, indices)
        except Exception as error:  # a peer's failure is a result, not the end of the run
            notes.append(f"{kind.name}, {reader.name}: failed ({type(error).__name__})")
            continue
        if wrong:
            notes.append(f"{kind.name}, {reader.name}: {wrong} wrong frames")
            continue
        sound.append(reader)
    found = rates(sound, paths, indices, rounds)
    for name, rate in found.items():
        print(f"{kind.name}, {name}: {rate:.1f} files a second", flush=True)
    peers = {name: rate for name, rate in found.items() if name not in (OURS, AGAIN)}
    best = max(peers, key=peers.__getitem__, default="")
    lead = found[OURS] / peers[best] if best else None
    row = {
        "videos": f"{len(paths)} of {kind.name}, {frames / RATE:g} s",
        "ours, files/s": significant(found[OURS]),
        "again, files/s": significant(found[AGAIN]),
        "fastest peer, files/s": significant(peers[best]) if best else "",
        "its name": best,
        "ours ÷ peer": significant(lead) if lead else "",
        "again ÷ peer": significant(found[AGAIN] / peers[best]) if best else "",
    }
    return row, lead, notes


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=200)
    args = parser.parse_args()
    frames = SECONDS * RATE
    table: list[Row] = []
    leads: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        # Encoded before any peer is loaded, see `benchmarks.decode`.
        made = {k: make_files(Path(scratch) / k.codec, k, args.files, frames) for k in KINDS}
        candidates, notes = readers()
        candidates = [reader for reader in candidates if reader.name != BARE]
        candidates = [reader for reader in candidates if "dense" in reader.tasks]
        for kind, paths in made.items():
            row, lead, faulty = measure(kind, paths, candidates, frames, args.rounds)
            table.append(row)
            leads += [lead] if lead else []
            notes += faulty
    goals = [goal("files a second at the first opening, over the fastest peer", min(leads, default=None), 1)]
    finish("small_files", "Small files of data sets", parser, args, table, goals, notes)


if __name__ == "__main__":
    main()
