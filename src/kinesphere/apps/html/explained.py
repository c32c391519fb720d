"""The examples of a report with what the answer rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from kinesphere.apps.html.examples import Example
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, NotFinite, VideoError
from kinesphere.predict import VideoPredictor

Explain = Callable[[Example], Example]
"""Gives an example with strips of heat."""


def explainer(predictor: VideoPredictor, methods: Sequence[str | None] = (None,)) -> Explain:
    """Explains the answers of a model: why it gave them, and of mistakes why not the truth.

    Of several methods it says as well how alike their heat is.

    Args:
        predictor: The model.
        methods: Names of methods; None for one that suits the model.

    Raises:
        UnknownName: If there is no such method.
        InvalidSetting: If it is not defined for the model, or is named twice.
    """
    from kinesphere.explain.agreement import agreements
    from kinesphere.explain.explaining import Question, check_question, explain
    from kinesphere.explain.render.strips import Strips, strips

    for method in methods:
        check_question(predictor, Question(method))
    if len(set(methods)) < len(methods):
        raise InvalidSetting("A method is named twice; name methods that are to be compared once each.")

    def explained(example: Example) -> Example:
        wrong = example.kind == "wrong" and example.truth in predictor.labels.names
        against = example.truth if wrong else None
        if example.answer not in predictor.labels.names:
            return example  # nothing was the right answer
        heats, found = [], []
        for method in methods:
            question = Question(method, example.answer, against)
            try:
                one = explain(predictor, example.path, question, span=example.span)
                heats.append(strips(one, example.path))
            except NotFinite as error:
                heats.append(Strips((), f"none. {error}"))
            except (VideoError, InvalidAnnotation):
                return example  # that of its frames says why
            else:
                found.append(one)
        pairs = agreements([[one] for one in found]).values() if len(found) > 1 else ()
        return replace(example, heats=tuple(heats), agreement=" ".join(map(str, pairs)))

    return explained
