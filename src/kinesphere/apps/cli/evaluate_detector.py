"""`kinesphere evaluate` of a detector of actions: recordings with timed labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kinesphere.apps.cli.console import check_file, check_results, console, end, print_json, progress, say
from kinesphere.apps.cli.score import show

if TYPE_CHECKING:
    from kinesphere.core.device import Compute
    from kinesphere.evaluate.files.detections import TemporalProtocol
    from kinesphere.evaluate.files.video_classifier import Fusing, VideoScores
    from kinesphere.localise.evaluation import Evaluated
    from kinesphere.localise.proposal_fates import ProposalFate


def evaluate_detector(
    model: str,
    data: Path,
    protocol: TemporalProtocol | None,
    split: str | None,
    extracts: Path | None,
    compute: Compute,
    out: Path | None,
    *,
    classifier: VideoScores | None,
    fusing: Fusing,
    proposals: Path | None,
    as_json: bool,
) -> None:
    """Score a detector, print what the protocol says, and leave with exit code 1 if videos are missing."""
    from kinesphere.apps.html.localiser import write_localiser_html
    from kinesphere.clips.sidecar import Extracts
    from kinesphere.localise.evaluation import evaluate_localiser
    from kinesphere.localise.prediction import LocalisingPredictor
    from kinesphere.localise.proposal_fates import SUFFIXES, with_roles, write_fates
    from kinesphere.predict.bulk import Progress

    check_results("--out", out)
    place = Extracts(extracts, data if data.is_dir() else data.parent)
    predictor = LocalisingPredictor.load(model, compute=compute, extracts=place)
    fates: list[ProposalFate] = []
    if proposals is not None:
        check_file("--proposals", proposals, SUFFIXES)
        proposing = predictor.proposes
        predictor = replace(
            predictor, hear=lambda features, video: fates.extend(proposing.fates(features, video))
        )
    with progress("Evaluating", "videos", hidden=as_json) as advance:
        result = evaluate_localiser(
            predictor,
            data,
            protocol=protocol or "thumos14",
            subset=None if split == "all" else split,
            classifier=classifier,
            fusing=fusing,
            progress=Progress(advance),
        )
    document = result.to_json(predictor.detector)
    page = None
    if out is not None:
        result.write(out, document)
        page = write_localiser_html(out)
    if proposals is not None:
        write_fates(with_roles(fates, result.truth), proposals)
    if as_json:
        print_json(document)
    else:
        show(result.scores, as_json=False)
        _tell(result, None if proposals is None else (proposals, fates), page)
    end(sum(each.is_failure for each in result.skipped))


def _tell(result: Evaluated, proposed: tuple[Path, Sequence[ProposalFate]] | None, page: Path | None) -> None:
    """What stands beside the scores."""
    if result.proposals is not None:
        show(result.proposals, as_json=False)
    for each in result.skipped:
        say("left out", "yellow", f"{each.path}: {each.reason}")
    if result.seen:
        many = f"{len(result.seen)} of {len(result.paths)} videos"
        console().print(f"{many} were trained on, which flatters the scores", style="bold red")
    if proposed is not None:
        numbers = Counter(each.fate for each in proposed[1])
        told = ", ".join(f"{number} {fate.replace('_', ' ')}" for fate, number in numbers.most_common())
        console().print(f"proposals  {proposed[0]}: {told or 'none'}", soft_wrap=True)
    if page is not None:
        console().print(f"report  {page}", soft_wrap=True)
