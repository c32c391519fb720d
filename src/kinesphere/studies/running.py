"""Runs the cells of a study: what is finished is kept, what failed is told, and the rest goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from kinesphere.core.device import cpu_count
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import claiming, make_folder
from kinesphere.core.signals import raise_if_stopped
from kinesphere.studies.cell_process import FAILED
from kinesphere.studies.cell_run import Order, State, check_record, state_of, train_cell
from kinesphere.studies.choosing import Choice, choose
from kinesphere.studies.matrix import Cell, CellRun, Study

# Fewer cores than this for a cell, and a second one at a time takes from the first.
_CORES_PER_CELL = 4
_LOOK_S = 0.2


@dataclass(frozen=True)
class Outcome:
    """What became of one run.

    Attributes:
        run: The run.
        problem: Why it is not finished; None if it is.
        kept: Whether it was finished before.
    """

    run: CellRun
    problem: str | None
    kept: bool


class Telling(Protocol):
    """Is told when a run begins and ends."""

    def begins(self, run: CellRun, number: int, total: int) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...


Train = Callable[[Order], None]


@dataclass(frozen=True)
class Finished:
    """A study that has been run.

    Attributes:
        study: What was asked.
        outcomes: Of every run, in order.
        choices: Of each cell with drawn settings, what was chosen.
    """

    study: Study
    outcomes: tuple[Outcome, ...]
    choices: tuple[Choice, ...]

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Runs that are not finished."""
        return tuple(outcome for outcome in self.outcomes if outcome.problem is not None)

    def cell(self, name: str) -> Cell:
        """The cell of a name; of drawn ones that which was chosen, or the first where none was."""
        cells = self.study.of(name)
        chosen = next((choice.draw for choice in self.choices if choice.cell == name), None)
        return next((cell for cell in cells if cell.name == chosen), cells[0])


def jobs_of(study: Study, asked: int | None = None) -> int:
    """How many cells are trained at a time."""
    if asked is not None:
        return asked
    if study.recipe.jobs != "auto":
        return study.recipe.jobs
    devices = {cell.recipe.compute.device for cell in study.cells}
    if devices != {"cpu"} and _has_gpu():  # two on one GPU take from each other
        return 1
    return max(1, cpu_count() // _CORES_PER_CELL)


def order_of(study: Study, run: CellRun, choices: Sequence[Choice] = ()) -> Order:
    """What is to be trained for a run, its start being known by now."""
    cell, recipe = run.cell, run.cell.recipe
    model = recipe.model
    if cell.start is not None:
        starts = study.of(cell.start)
        chosen = next((each.draw for each in choices if each.cell == cell.start), starts[0].name)
        start = next(each for each in starts if each.name == chosen)
        folder = next(each.folder for each in study.runs([start]) if each.seed == run.seed)
        model = model.model_copy(update={"pretrained": str(folder)})
    train = recipe.train.model_copy(update={"seed": run.seed})
    whole = recipe.model_copy(update={"train": train, "model": model, "out": str(run.folder)})
    return Order(cell.name, run.folder, whole, cell.start)


def states(study: Study) -> list[tuple[CellRun, State]]:
    """How far every run is; nothing is changed."""
    return [(run, state_of(order_of(study, run))) for run in study.runs(study.cells)]


def run_study(study: Study, telling: Telling, *, jobs: int = 1, train: Train = train_cell) -> Finished:
    """Train all cells that are not finished, and open the test of settings that were chosen.

    Args:
        study: What to do.
        telling: Is told how it goes.
        jobs: Cells at a time; from two on each has a process of its own and its part of the threads.
        train: Trains an order in this process.

    Raises:
        InUse: If the study is being run by another process.
        UnwritableFile: If its folder refuses.
    """
    make_folder(study.folder)
    with claiming(study.folder / ".lock", f"The study in {study.folder}"):
        return _Running(study, telling, jobs, train).go()


class _Running:
    """The state of a study at work."""

    def __init__(self, study: Study, telling: Telling, jobs: int, train: Train) -> None:
        self._study, self._telling = study, telling
        self._jobs, self._train = jobs, train
        self._outcomes: dict[Path, Outcome] = {}
        self._choices: list[Choice] = []
        self._total = len(study.cells) * len(study.recipe.seeds)

    def go(self) -> Finished:
        study = self._study
        for level in study.levels:
            runs = [run for name in level for run in study.runs(study.of(name))]
            for outcome in self._of(runs):
                self._outcomes[outcome.run.folder] = outcome
                self._telling.ended(outcome)
            if study.recipe.search is not None:
                self._choices += [self._chosen(name) for name in level]
        ordered = tuple(self._outcomes[run.folder] for run in study.runs(study.cells))
        return Finished(study, ordered, tuple(self._choices))

    def _chosen(self, name: str) -> Choice:
        study = self._study
        runs = {cell.name: list(study.runs([cell])) for cell in study.of(name)}
        done = {
            draw: [run.folder for run in each]
            for draw, each in runs.items()
            if all(self._outcomes[run.folder].problem is None for run in each)
        }
        return choose(name, done)

    def _of(self, runs: Sequence[CellRun]) -> Iterator[Outcome]:
        """What becomes of runs that do not wait for each other."""
        ready: list[tuple[CellRun, Order]] = []
        for run in runs:
            outcome = self._settled(run)
            if isinstance(outcome, Order):
                ready.append((run, outcome))
            else:
                yield outcome
        if self._jobs == 1:
            for run, order in ready:
                self._begins(run)
                yield Outcome(run, self._here(order), kept=False)
        elif ready:
            yield from self._beside(ready)

    def _settled(self, run: CellRun) -> Outcome | Order:
        """The outcome of a run that is finished or cannot begin; else what is to be trained."""
        if run.cell.start is not None:
            origin = self._outcome_of_start(run)
            if origin is not None and origin.problem is not None:
                text = f"it starts from the cell {run.cell.start}, which failed"
                return Outcome(run, text, kept=False)
        try:
            order = order_of(self._study, run, self._choices)
            check_record(order)
            done = state_of(order) == "done"
        except InvalidSetting as error:
            return Outcome(run, str(error), kept=False)
        if not done:
            return order
        return Outcome(run, None, kept=True)

    def _outcome_of_start(self, run: CellRun) -> Outcome | None:
        order = order_of(self._study, run, self._choices)
        return self._outcomes.get(Path(str(order.recipe.model.pretrained)))

    def _begins(self, run: CellRun) -> None:
        self._telling.begins(run, len(self._outcomes) + 1, self._total)

    def _here(self, order: Order) -> str | None:
        """Train in this process; what went wrong, if something did."""
        try:
            self._train(order)
        except Exception as error:  # whatever it is, the other cells go on
            raise_if_stopped()
            return f"{type(error).__name__}: {error}"
        return None

    def _beside(self, ready: Sequence[tuple[CellRun, Order]]) -> Iterator[Outcome]:
        """Train in processes, so many at a time."""
        processes: set[subprocess.Popen[str]] = set()
        threads = max(1, cpu_count() // self._jobs)
        waiting, busy = iter(ready), dict[Future[str | None], CellRun]()
        with ThreadPoolExecutor(self._jobs) as pool:
            try:
                while True:
                    while len(busy) < self._jobs and (each := next(waiting, None)) is not None:
                        run, order = each
                        self._begins(run)
                        busy[pool.submit(_in_process, order, threads, processes)] = run
                    if not busy:
                        return
                    done, _ = wait(busy, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
                    raise_if_stopped()
                    for future in done:
                        yield Outcome(busy.pop(future), future.result(), kept=False)
            finally:
                for process in list(processes):
                    process.terminate()


def _in_process(order: Order, threads: int, processes: set[subprocess.Popen[str]]) -> str | None:
    """Train an order in a process; what went wrong, if something did."""
    words = [sys.executable, "-m", "kinesphere.studies.cell_process", str(threads), str(os.getpid())]
    log = order.folder / "log.txt"
    make_folder(order.folder)
    with log.open("a", encoding="utf-8") as errors:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
        )
        processes.add(process)
        try:
            said, _ = process.communicate(json.dumps(_with_workers(order).to_json()))
        finally:
            processes.discard(process)
    if process.returncode == 0:
        return None
    if process.returncode == FAILED:
        with suppress(ValueError):
            return str(json.loads(said.rpartition("\n")[2]))
    return f"its process ended with exit code {process.returncode}; see {log}"


def _with_workers(order: Order) -> Order:
    """An order whose clips are read in its own process: several at a time fill the cores by themselves."""
    compute = order.recipe.compute
    if compute.workers != "auto":
        return order
    settings = compute.model_copy(update={"workers": 0})
    return replace(order, recipe=order.recipe.model_copy(update={"compute": settings}))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()
