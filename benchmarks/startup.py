"""How long the command line takes before it answers, against loading torch, which every prediction needs.

    python -m benchmarks.startup [--rounds N] [--only TEXT]

Each command is a process of its own, from its start to its end; the median of rounds in which all take
turns. A round before them, which does not count, lets Python compile the modules, as it does once after an
installation.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.record import Row, command_line, finish, goal, significant
from benchmarks.videos import two_classes
from kinesphere.models import create_model, save_model

MODEL = "kine_small"
GOAL = 1.65
"""What `predict` of one short clip may take, in times of loading torch."""
REFERENCE = "import torch"
PREDICT = "predict, one clip"
_FRAMES = 60


class CommandFailed(RuntimeError):
    """A command that is measured did not end as it should."""


def commands(folder: Path) -> dict[str, list[str]]:
    """What is measured, with the words behind `python`; the data lie in `folder`."""
    videos = folder / "videos"
    two_classes(videos, 4, _FRAMES)
    model = save_model(create_model(MODEL, ["a", "b"]), folder / "model.safetensors")
    ours = ["-m", "kinesphere"]
    return {
        REFERENCE: ["-c", "import torch"],
        "--help": [*ours, "--help"],
        "predict --help": [*ours, "predict", "--help"],
        "datasets": [*ours, "datasets"],
        "models": [*ours, "models"],
        "check, 4 clips": [*ours, "check", str(videos)],
        PREDICT: [*ours, "predict", str(videos / "a" / "0.mp4"), "--model", str(model)],
        "predict, one clip, no model named": [*ours, "predict", str(videos / "a" / "0.mp4")],
    }


def environment(bytecode: Path) -> dict[str, str]:
    """This process' variables, and a place for compiled modules, whatever may be written elsewhere."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(bytecode)}


def seconds(words: Sequence[str], variables: Mapping[str, str]) -> float:
    """From the start of a Python process to its end.

    Raises:
        CommandFailed: If it ends with another status than 0.
    """
    start = time.perf_counter()
    ended = subprocess.run([sys.executable, *words], env=variables, capture_output=True, check=False)
    taken = time.perf_counter() - start
    if ended.returncode:
        raise CommandFailed(f"{' '.join(words)}: {ended.stderr.decode(errors='replace')[-500:]}")
    return taken


def measure(
    wanted: Mapping[str, Sequence[str]], rounds: int, variables: Mapping[str, str]
) -> dict[str, list[float]]:
    """Seconds of each command in each round, after one that does not count."""
    for words in wanted.values():
        seconds(words, variables)
    taken: dict[str, list[float]] = {name: [] for name in wanted}
    for _ in range(rounds):
        for name, words in wanted.items():
            taken[name].append(seconds(words, variables))
    return taken


def rows(taken: Mapping[str, Sequence[float]]) -> list[Row]:
    """The table: each command's median, alone and against loading torch."""
    reference = median(taken[REFERENCE])
    return [
        {
            "command": name,
            "ms": significant(median(times) * 1e3),
            "fastest, ms": significant(min(times) * 1e3),
            "÷ import torch": significant(median(times) / reference),
        }
        for name, times in taken.items()
    ]


def held_against_goal(taken: Mapping[str, Sequence[float]]) -> str:
    """The line about `predict`."""
    ratio = median(taken[PREDICT]) / median(taken[REFERENCE]) if PREDICT in taken else None
    return goal(f"predicting one short clip with {MODEL}, time over that of import torch", ratio, GOAL,
                at_most=True)  # fmt: skip


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count (default: 7)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only commands whose name contains TEXT")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        wanted = {
            name: words
            for name, words in commands(Path(scratch)).items()
            if name == REFERENCE or args.only in name
        }
        taken = measure(wanted, args.rounds, environment(Path(scratch) / "bytecode"))
    goals = [held_against_goal(taken)]
    notes = ["Processes from start to end, with compiled modules and files in the system's cache."]
    finish("startup", "Start of the command line", parser, args, rows(taken), goals, notes)


if __name__ == "__main__":
    main()
