"""`load`: a predictor from whatever holds a model."""

from __future__ import annotations

from pathlib import Path

from kinesphere.core.device import Compute
from kinesphere.core.paths import is_file
from kinesphere.data.sources import Opening
from kinesphere.predict.box import BoxPredictor
from kinesphere.predict.fusion import FILE_NAME, FusedPredictor, FusionFile
from kinesphere.predict.predictor import Predictor
from kinesphere.predict.video_predictor import VideoPredictor


def load(
    source: str | Path | None = None, *, compute: Compute | None = None, opening: Opening | None = None
) -> VideoPredictor:
    """A predictor from a run folder, a model file, a fusion, a registered `model.tag`, or a Hugging Face id.

    Without any, the recogniser that comes with the package (see `BoxPredictor`).

    Args:
        source: For example `"runs/first"`, `"model.safetensors"`, `"r3d_18.k400"`, or the folder that
            `kinesphere fuse --out` wrote; None for the recogniser in the box.
        compute: Where and how it runs; by default the best for this machine.
        opening: Where files of flow and poses lie, and what becomes of those that are missing.

    Raises:
        InvalidCheckpoint: If the file is damaged or foreign.
        MissingWeights: If nothing is there, or a download is not possible.
        UnknownName: If there is no such model.
        LabelMismatch: If fused models know different labels.
    """
    from kinesphere.models.create import load_model

    if source is None:
        return BoxPredictor(compute=compute, opening=opening)
    if is_file(Path(source) / FILE_NAME):
        fusion = FusionFile.read(Path(source))
        members = [Predictor(load_model(model), compute, name=model.name) for model in fusion.models]
        return FusedPredictor(members, fusion.weights, rejection=fusion.rejection, opening=opening)
    return Predictor(load_model(source), compute, name=str(source), opening=opening)
