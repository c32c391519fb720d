"""Lists of ten thousand, a hundred thousand and a million clips, opened by a process of their own.

    python -m benchmarks.large_lists [--only TEXT] [--sizes N ...]

Lists are generated: tables of whole files, whose names tell what they were cut from, and of spans with groups
and splits, as CSV and as Parquet; and the official lists of two public sets without any of their videos. Each
is read by a new process with one thread and the core install, its libraries loaded before. CPU time is that
of the process; memory is how much larger it is once the list is open, and was at most while it was read.
"""

from __future__ import annotations

import csv
import json
import random
import resource
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.record import Row, command_line, finish, goal, significant

SIZES = (10_000, 100_000, 1_000_000)
LONGEST_S, MOST_GB = 10.0, 1.0
_SIGNS = string.ascii_letters + string.digits + "-_"


@dataclass(frozen=True)
class Kind:
    """One kind of list.

    Attributes:
        name: In the table.
        write: Writes one of so many clips into a folder; what is to be opened.
        dataset: Name of the public set that it is the list of; empty for a manifest.
    """

    name: str
    write: Callable[[int, Path], Path]
    dataset: str = ""


def names() -> Iterator[str]:
    """Names of videos as of YouTube's, the same in every run."""
    rng = random.Random(0)
    while True:
        yield "".join(rng.choices(_SIGNS, k=11))


def whole_files(count: int, folder: Path) -> Path:
    """A table of files of ten seconds each, by their names."""
    rows = (
        (f"train/class {i % 400}/{name}_{i % 300:06d}_{i % 300 + 10:06d}.mp4", f"class {i % 400}", "train")
        for i, name in zip(range(count), names(), strict=False)
    )
    return _table(folder, ("path", "label", "split"), rows)


def spans(count: int, folder: Path) -> Path:
    """A table of spans, ten of each file, with ids, groups and splits."""
    rows = (
        (f"s{i}", f"videos/{i // 10:06d}.mp4", f"class {i % 400}", i % 10 * 1.5, i % 10 * 1.5 + 2.0,
         f"v{i // 10:06d}", ("train", "val")[i % 100 > 90])
        for i in range(count)
    )  # fmt: skip
    return _table(folder, ("id", "path", "label", "start", "end", "group", "split"), rows)


def as_parquet(write: Callable[[int, Path], Path]) -> Callable[[int, Path], Path]:
    """The same table as Parquet, all of it text."""

    def written(count: int, folder: Path) -> Path:
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet as pq

        path = write(count, folder)
        with path.open() as file:
            header = next(csv.reader(file))
        options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
        pq.write_table(pyarrow.csv.read_csv(path, convert_options=options), path.with_suffix(".parquet"))
        return path.with_suffix(".parquet")

    return written


def kinetics(count: int, folder: Path) -> Path:
    """The list of training clips of Kinetics-700, of so many."""
    with (folder / "train.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("label", "youtube_id", "time_start", "time_end", "split"))
        for i, name in zip(range(count), names(), strict=False):
            rows.writerow((f"class {i % 700}", name, i % 300, i % 300 + 10, "train"))
    return folder


def sports1m(count: int, folder: Path) -> Path:
    """The lists of Sports-1M, of so many videos."""
    (folder / "labels.txt").write_text("\n".join(f"sport {i}" for i in range(487)))
    lines = (
        f"http://www.youtube.com/watch?v={name} {i % 487}{f',{(i + 7) % 487}' if i % 10 == 0 else ''}\n"
        for i, name in zip(range(count), names(), strict=False)
    )
    for part, share in (("train", count - count // 5), ("test", count // 5)):
        with (folder / f"{part}_partition.txt").open("w") as file:
            file.writelines(next(lines) for _ in range(share))
    return folder


def _table(folder: Path, header: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> Path:
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header])
        csv.writer(file).writerows(rows)
    return path


KINDS = (
    Kind("whole files, CSV", whole_files),
    Kind("whole files, Parquet", as_parquet(whole_files)),
    Kind("spans with groups, CSV", spans),
    Kind("spans with groups, Parquet", as_parquet(spans)),
    Kind("list of Kinetics-700", kinetics, "kinetics700"),
    Kind("lists of Sports-1M", sports1m, "sports1m"),
)


@dataclass(frozen=True)
class Opened:
    """What opening a list took.

    Attributes:
        clips: How many it lists.
        cpu_s: CPU time.
        held_gb: How much larger the process is with the list open.
        peak_gb: How much larger it was at most.
    """

    clips: int
    cpu_s: float
    held_gb: float
    peak_gb: float


def opened(path: Path, dataset: str) -> Opened:
    """Open a list in this process."""
    from kinesphere.data import table  # noqa: F401  (loaded before anything is measured)
    from kinesphere.data.catalogue import DATASETS
    from kinesphere.data.manifest import Manifest

    if path.suffix == ".parquet":
        import pyarrow.compute
        import pyarrow.parquet  # noqa: F401
    known = DATASETS.get(dataset) if dataset else None
    before, begun = _held_bytes(), time.process_time()
    clips = len(Manifest.read(path)) if known is None else known.inventory(path).clips
    cpu_s = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    held = _held_bytes()
    return Opened(clips, cpu_s, (held - before) / 1e9, (max(peak, held) - before) / 1e9)


def _held_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def measure(kind: Kind, count: int) -> Opened:
    """Write a list, and open it in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = kind.write(count, Path(folder))
        command = [sys.executable, "-m", "benchmarks.large_lists", "--open", str(path), "--of", kind.dataset]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Opened(**json.loads(said))


def row(kind: Kind, found: dict[int, Opened]) -> Row:
    """One line of the table."""
    cells: dict[str, str | int | float] = {"list": kind.name}
    for count, each in found.items():
        cells[f"{count:,}".replace(",", " ") + " clips, s of CPU"] = significant(each.cpu_s, 2)
    largest = found[max(found)]
    cells["held of the largest, MB"] = f"{1e3 * largest.held_gb:.0f}"
    cells["peak, MB"] = f"{1e3 * largest.peak_gb:.0f}"
    return cells


def goals(found: dict[str, dict[int, Opened]]) -> list[str]:
    """Each list's largest held against time and memory."""
    lines = []
    for name, sizes in found.items():
        largest = sizes[max(sizes)]
        what = f"{name}, {largest.clips} clips"
        lines.append(goal(f"{what}, CPU", largest.cpu_s, LONGEST_S, " s", at_most=True))
        lines.append(goal(f"{what}, peak of memory", largest.peak_gb, MOST_GB, " GB", at_most=True))
    return lines


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="lists whose names contain this")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="clips of each list")
    parser.add_argument("--open", type=Path, help="open this list here and print what it took")
    parser.add_argument("--of", default="", help="the public set that it is the list of")
    args = parser.parse_args()
    if args.open is not None:
        print(json.dumps(vars(opened(args.open, args.of))))
        return
    found: dict[str, dict[int, Opened]] = {}
    chosen = [kind for kind in KINDS if args.only in kind.name]
    for kind in chosen:
        found[kind.name] = {}
        for count in args.sizes:
            found[kind.name][count] = measure(kind, count)
            print(kind.name, count, found[kind.name][count], flush=True)
    rows = [row(kind, found[kind.name]) for kind in chosen]
    finish("large_lists", "Lists of up to a million clips", parser, args, rows, goals(found))


if __name__ == "__main__":
    main()
