"""`kinesphere fuse`: score fusion of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.console import check_results, console, end, print_json, say
from kinesphere.apps.cli.evaluate import print_report
from kinesphere.apps.cli.options import Json
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.train import FusedRuns


def fuse(
    runs: Annotated[
        list[Path], typer.Argument(help="Finished runs, tested on the same clips; or detectors `ssn`.")
    ],
    weights: Annotated[
        str | None,
        typer.Option(
            help="One number per run, such as 2,1; or `learned`: on validation clips, for "
            "cross-validations on the other folds."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report.json, predictions.parquet, report.html, and a fusion.json, with which "
            "`predict` and `evaluate` take the folder for a model."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score several runs as one: the weighted mean of their probabilities, or of what detectors say of
    proposals."""
    from kinesphere.localise.prediction import localiser_file
    from kinesphere.train import fuse_runs

    check_results("--out", out)
    if any(localiser_file(each) is not None for each in runs):
        _fuse_detectors(runs, weights, out, as_json=as_json)
        return
    fusion = fuse_runs(runs, parse(weights))
    without: tuple[Path, ...] = ()
    if out is not None:
        from kinesphere.apps.html import write_report_html

        without = fusion.write(out)
        if fusion.report is not None:
            write_report_html(out)
    weighted = [
        {"run": str(folder), "weight": weight}
        for folder, weight in zip(fusion.folders, fusion.weights, strict=True)
    ]
    if as_json:
        scored = fusion.report.to_json() if fusion.report is not None else {}
        plain = {"weights": weighted, "learned_on": fusion.learned_on, "report": scored}
        print_json(plain | {"by_fold": fusion.by_fold} if fusion.by_fold else plain)
    else:
        for each in weighted:
            console().print(f"{each['weight']:.3f}  {each['run']}", soft_wrap=True)
        console().print(f"weights {_source(fusion)}")
        if fusion.report is not None:
            print_report(fusion.report)
        else:
            console().print("Not all runs held out test clips, so nothing was scored.")
        for folder in without:
            say(
                "note",
                "yellow",
                f"{folder} holds no model, so {out} cannot predict; fuse runs without folds for that",
            )
    end(len(fusion.report.skipped) if fusion.report is not None else 0)


def _fuse_detectors(runs: list[Path], weights: str | None, out: Path | None, *, as_json: bool) -> None:
    """Write the fusion of detectors of actions.

    Raises:
        InvalidSetting: If weights are to be learned.
    """
    from kinesphere.localise.fused_runs import fuse_detectors

    given = parse(weights)
    if given == "learned":
        raise InvalidSetting("Weights of detectors are given, not learned; name one number per run.")
    found = fuse_detectors(runs, out, given)
    weighted = [{"run": str(run), "weight": weight} for run, weight in zip(runs, found, strict=True)]
    if as_json:
        print_json({"weights": weighted, "learned_on": None, "report": {}})
        return
    for each in weighted:
        console().print(f"{each['weight']:.3f}  {each['run']}", soft_wrap=True)
    console().print(f"kinesphere evaluate {out} LABELS scores them as one", soft_wrap=True)


def _source(fusion: FusedRuns) -> str:
    if fusion.learned_on is None:
        return "given"
    if fusion.by_fold:
        return f"learned for each fold on the others, {fusion.learned_on} clips or more; their mean is shown"
    return f"learned on {fusion.learned_on} validation clips"


def parse(text: str | None) -> list[float] | Literal["learned"] | None:
    """Numbers between commas, or the word.

    Raises:
        InvalidSetting: If something there is no number.
    """
    if text is None:
        return None
    if text == "learned":
        return "learned"
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidSetting(f"Weights are numbers between commas, or `learned`; got {text!r}.") from error
