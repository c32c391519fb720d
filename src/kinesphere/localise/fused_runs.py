"""`fuse_detectors`: finished runs of detectors that judge the same proposals together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import make_folder
from kinesphere.localise.fusion import check_fusable
from kinesphere.localise.methods.registry import load_detector
from kinesphere.localise.prediction import localiser_file
from kinesphere.predict.fusion import FusionFile, normalised_weights


def fuse_detectors(
    folders: Sequence[Path], out: Path | None, weights: Sequence[float] | None = None
) -> tuple[float, ...]:
    """Write a fusion that `evaluate` and `predict` take for a detector.

    Args:
        folders: Runs of detectors of the same classes, of which each sees what it sees: frames, flow.
        out: Folder of the `fusion.json`.
        weights: One per run; None gives equal weights.

    Returns:
        The weights, which sum to 1.

    Raises:
        InvalidSetting: If a run is no detector, or they do not go together, weights do not fit, or there is
            no folder of its own for the fusion.
    """
    files = [localiser_file(each) for each in folders]
    for folder, file in zip(folders, files, strict=True):
        if file is None:
            raise InvalidSetting(f"{folder} is no detector of actions; fuse detectors with detectors.")
    check_fusable([load_detector(file) for file in files if file is not None])
    normalised = tuple(normalised_weights(weights, len(folders)).tolist())
    if out is None:
        raise InvalidSetting("Detectors are fused into a folder, which is then evaluated; name it by --out.")
    if out.resolve() in [each.resolve() for each in folders]:
        raise InvalidSetting(f"{out} is one of the runs; write their fusion to another folder.")
    make_folder(out)
    FusionFile(tuple(folders), normalised).write(out)
    return normalised
