"""What the screen says of answers: why one is a rejection, and which views an explanation leaves out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from kinesphere.apps.cli.answers import why_rejected
from kinesphere.apps.cli.explain import _tell_of_views
from kinesphere.clips import Views
from kinesphere.core.labels import LabelSet
from kinesphere.models.rejection import Rejection
from kinesphere.predict import Prediction

NONE = "none of these"


@pytest.mark.parametrize(
    ("probabilities", "reason"),
    [
        ((0.3, 0.6, 0.1), ""),
        ((0.2, 0.3, 0.5), "  (the likeliest movement, wave, has 30.0%)"),
        ((0.1, 0.2, 0.7), "  (the likeliest movement, wave, has 20.0%; an answer needs 25.0%)"),
    ],
)
def test_a_rejection_names_the_threshold_only_where_it_decides(
    probabilities: tuple[float, ...], reason: str
) -> None:
    rule = Rejection(NONE, 0.25, "no clips")
    labels = LabelSet(("walk", "wave", NONE))
    assert (
        why_rejected(Prediction(np.array(probabilities), labels, "a.mp4", (0, 1), rejection=rule)) == reason
    )


def test_an_explanation_of_one_clip_names_the_views_of_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    one, three = (SimpleNamespace(name=str(views), test_views=views) for views in (Views(), Views(3, 1)))
    _tell_of_views([one], False)  # type: ignore[list-item]
    assert capsys.readouterr().out == ""
    _tell_of_views([one, three, three], False)  # type: ignore[list-item]
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("one clip of each video is explained") == 1
    assert "which can be another answer: --views 3x1 explains it" in said
