"""The networks behind a model's answers: its own, or of a cross-validation one for each fold."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from kinesphere.core.errors import InvalidSetting
from kinesphere.evaluate import Predictions
from kinesphere.predict import VideoPredictor
from kinesphere.train.fold_evaluation import fold_models


class Answerers:
    """What gave a model's answers; each network is loaded when it is first asked for, and stays.

    Args:
        name: Run folder, cross-validation, fusion, model file or registered name.
        load: Loads a network by such a name.
    """

    def __init__(self, name: str, load: Callable[[str], VideoPredictor]) -> None:
        self.name = name
        self._load = load
        self._folds = [str(file.parent) for file in fold_models(Path(name))]
        self._loaded: dict[str, tuple[VideoPredictor, str]] = {}

    def of(self, clip: str) -> tuple[VideoPredictor, str]:
        """The network that answered about a clip, with the digest of its weights.

        Args:
            clip: Id of the sample; of no account where there is one network.

        Raises:
            InvalidSetting: If no fold of a cross-validation held the clip out.
        """
        source = self._held_out.get(clip) if self._folds else self.name
        if source is None:
            raise InvalidSetting(
                f"{self.name} is a cross-validation, and none of its folds held out {clip}; name the model "
                "that gave the answers, or leave maps out (--maps 0)."
            )
        if source not in self._loaded:
            predictor = self._load(source)
            self._loaded[source] = predictor, predictor.digest()  # of all weights, so once
        return self._loaded[source]

    def one(self) -> VideoPredictor:
        """The network that may be asked about any clip.

        Raises:
            InvalidSetting: If there is one for each fold.
        """
        if self._folds:
            raise InvalidSetting(
                f"{self.name} is a cross-validation, which has a model for each fold: name a fold, or leave "
                "DATA out to compare the answers that were kept."
            )
        return self.of("")[0]

    @cached_property
    def _held_out(self) -> dict[str, str]:
        """Folders of the folds by the ids of the clips that each held out."""
        return {clip: fold for fold in self._folds for clip in Predictions.read(fold).ids}
