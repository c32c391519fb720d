"""The examples of a report with what the answer rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2

from kinesphere.apps.html.examples import Example
from kinesphere.core.errors import InvalidAnnotation, VideoError
from kinesphere.predict import VideoPredictor

Explain = Callable[[Example], Example]
"""Gives an example with strips of heat."""

_FRAMES, _HEIGHT = 6, 128
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 80)


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
    from kinesphere.explain.render.drawing import draw_heat, scale_of
    from kinesphere.explain.render.frames import drawn_size, source_frames, spread_times

    check_question(predictor, Question(method))

    def explained(example: Example) -> Example:
        wrong = example.kind == "wrong" and example.truth in predictor.labels.names
        question = Question(method, example.answer, example.truth if wrong else None)
        if question.label not in predictor.labels.names:
            return example  # nothing was the right answer
        try:
            found = explain(predictor, example.path, question, span=example.span)
            times, size = spread_times(found, _FRAMES), drawn_size(found.size, _HEIGHT)
            frames = source_frames(example.path, times, size)
        except (VideoError, InvalidAnnotation):
            return example  # that of its frames says why
        heat, scales = [], []
        for model, spec in found.inputs:
            images = draw_heat(found, model, spec, frames, times)
            heat += [cv2.imencode(".jpg", image[..., ::-1], _JPEG)[1].tobytes() for image in images]
            scales.append(f"{spec.modality} up to {scale_of(found, model, spec).full:.2g}")
        caption = f"{found.title}, by {found.method}; full colour: {', '.join(scales)}"
        return replace(example, heat=tuple(heat), heat_caption=caption)

    return explained
