"""The examples of a report with what the answer rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kinesphere.apps.html.examples import Example
from kinesphere.core.errors import InvalidAnnotation, NotFinite, VideoError
from kinesphere.predict import VideoPredictor

Explain = Callable[[Example], Example]
"""Gives an example with strips of heat."""


def explainer(predictor: VideoPredictor, method: str | None = None) -> Explain:
    """Explains the answers of a model: why it gave them, and of mistakes why not the truth.

    Args:
        predictor: The model.
        method: Name of the method; None for one that suits the model.

    Raises:
        UnknownName: If there is no such method.
        InvalidSetting: If it is not defined for the model.
    """
    from kinesphere.explain.explaining import Question, check_question, explain
    from kinesphere.explain.render.strips import strips

    check_question(predictor, Question(method))

    def explained(example: Example) -> Example:
        wrong = example.kind == "wrong" and example.truth in predictor.labels.names
        question = Question(method, example.answer, example.truth if wrong else None)
        if question.label not in predictor.labels.names:
            return example  # nothing was the right answer
        try:
            found = explain(predictor, example.path, question, span=example.span)
            shown = strips(found, example.path)
        except NotFinite as error:
            return replace(example, heat_caption=f"none. {error}")
        except (VideoError, InvalidAnnotation):
            return example  # that of its frames says why
        return replace(example, heat=shown.frames, heat_caption=shown.caption)

    return explained
