"""`kinesphere compare`: runs on the same test, pair by pair, and the clips that they disagree about."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinesphere.apps.cli.console import check_results, console, end, print_json, print_left_out
from kinesphere.apps.cli.options import Json
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.studies.disagreement import Disagreement
    from kinesphere.studies.tested import Pair, ScoredRun

Runs = Annotated[
    list[Path], typer.Argument(help="Two run folders or more that were tested on the same clips.")
]
Out = Annotated[
    Path | None, typer.Option(help="Folder for the clips of disagreement of each pair, as CSV and JSON.")
]
_SHOWN = 10


def compare(runs: Runs, out: Out = None, as_json: Json = False) -> None:
    """Paired differences of runs on the same test, with intervals, and where they disagree.

    What each of two models looked at, and any data, is for `kinesphere study compare`.
    """
    from kinesphere.studies.disagreement import disagreement
    from kinesphere.studies.tested import CORRECTION, ScoredRun, check_alike, compare_pairs

    if len(runs) < 2:
        raise InvalidSetting(f"Give two run folders or more; got {len(runs)}.")
    check_results("--out", out)
    tested = [ScoredRun.of(run) for run in runs]
    check_alike(tested)
    chosen = list(combinations(tested, 2))
    pairs = compare_pairs([(a.name, [a], b.name, [b]) for a, b in chosen])
    apart = [
        None if a.answers.labels.multi else disagreement((a.name, b.name), a.answers, b.answers)
        for a, b in chosen
    ]
    if out is not None:
        for number, found in enumerate(apart, start=1):
            if found is not None:
                found.write(out / f"pair-{number}" if len(apart) > 1 else out)
    if as_json:
        print_json(
            {
                "runs": [_listed(run) for run in tested],
                "pairs": [_paired(pair, found) for pair, found in zip(pairs, apart, strict=True)],
                "correction": CORRECTION,
            }
        )
    else:
        _print(tested, pairs, apart)
    end(len({each.path for found in apart if found is not None for each in found.skipped}))


def _listed(run: ScoredRun) -> dict[str, object]:
    name, score = run.report.primary
    scores = {key: each.to_json() for key, each in run.report.scores.items()}
    first = {"run": run.name, "primary": name, "score": score.to_json(), "clips": run.report.clips}
    return {**first, "scores": scores}


def _paired(pair: Pair, found: Disagreement | None) -> dict[str, object]:
    """A pair with its clips; those of several labels a clip have none that answer differently as a whole."""
    if found is None:
        return {**pair.to_json(), "disagreements": None, "skipped": []}
    plain = found.to_json()
    return {**pair.to_json(), "disagreements": plain["disagreements"], "skipped": plain["skipped"]}


def _print(tested: list[ScoredRun], pairs: list[Pair], apart: list[Disagreement | None]) -> None:
    from rich.table import Table

    from kinesphere.evaluate.metrics import ordinal_scores, score_name

    screen = console()
    table = Table("run", "score", title=f"tested on {tested[0].tested_on()}")
    for run in tested:
        scores = run.report.scores
        beside = [f"{score_name(name)} {scores[name]}" for name in ordinal_scores(scores)]
        table.add_row(run.name, "\n".join([run.report.line(), *beside]))
    screen.print(table)
    for pair, found in zip(pairs, apart, strict=True):
        screen.print(
            f"{pair.verdict()} {pair.second} less {pair.first}: {pair.difference}, p {pair.p:.3g}"
            + (f", {pair.corrected:.3g} corrected for {len(pairs)} pairs" if len(pairs) > 1 else "")
            + f"; only the first is right about {pair.only_first:.0f} clips, only the second about "
            f"{pair.only_second:.0f} of {pair.clips}",
            soft_wrap=True,
        )
        if found is None:
            continue
        for clip in found.apart[:_SHOWN]:
            screen.print(
                f"    {clip.path}  is {clip.truth}; {clip.answers[0]}, {clip.answers[1]}", soft_wrap=True
            )
        if len(found.apart) > _SHOWN:
            screen.print(f"    … and {len(found.apart) - _SHOWN} more (see --out or --json)")
        print_left_out(found.skipped)
