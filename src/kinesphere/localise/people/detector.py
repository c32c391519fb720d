"""`PeopleDetector`: a network that says what people in boxes do, with its contract, classes and file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
import torch
from torch import Tensor

from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.paths import is_file, is_folder
from kinesphere.localise.detector_file import whole
from kinesphere.models import Recogniser, create_model, load_model
from kinesphere.models.header import KEY, header_of, metadata_of, write_file
from kinesphere.models.spatiotemporal.box_head import BoxHeadForm
from kinesphere.models.spatiotemporal.network import BoxActions, LastStage

KIND = "people_localiser"
"""In the header of a model file: that it holds a detector of the actions of people in boxes."""
FILE_NAME = "model.safetensors"


def people_detector_file(source: str | Path) -> Path | None:
    """The model file of such a detector that a run folder or a file is; None for anything else.

    Raises:
        InvalidCheckpoint: If a model file is damaged.
    """
    path = Path(source) / FILE_NAME if is_folder(Path(source)) else Path(source)
    if not is_file(path) or path.suffix.lower() != ".safetensors":
        return None
    metadata = metadata_of(path)
    found = KEY in (metadata or {}) and header_of(metadata, path.name).get("kind") == KIND
    return path if found else None


@dataclass(frozen=True, eq=False)
class PeopleDetector:
    """What is needed to ask what people in boxes do.

    Attributes:
        net: The network.
        architecture: Name of the model whose maps are looked at.
        arguments: Of its builder.
        last_stage: What became of the stride of its last stage.
        spec: Contract of the clips.
        labels: The K classes.
        numbers: The number of each class in files of AVA's form.
        provenance: Where the weights come from, in a sentence.
    """

    net: BoxActions
    architecture: str
    arguments: Mapping[str, Any]
    last_stage: LastStage
    spec: ClipSpec
    labels: LabelSet
    numbers: Mapping[str, int]
    provenance: str = ""

    @classmethod
    def around(
        cls,
        body: Recogniser,
        labels: LabelSet,
        numbers: Mapping[str, int],
        form: BoxHeadForm,
        last_stage: LastStage,
        spec: ClipSpec,
        provenance: str = "",
    ) -> Self:
        """A detector with a fresh head on a recogniser's maps.

        Raises:
            InvalidSetting: If the recogniser has no such maps, or does not take the contract.
        """
        from kinesphere.models.create import with_specs

        with_specs(body, [spec])
        net = BoxActions(body, len(labels), form, last_stage)
        arguments = dict(body.arguments)
        return cls(net, body.card.name, arguments, last_stage, spec, labels, numbers, provenance)

    def save(self, path: Path) -> Path:
        """Write a `.safetensors`; it appears whole or not at all.

        Raises:
            UnwritableFile: If the place or the disk refuses.
        """
        header = {
            "kind": KIND,
            "architecture": self.architecture,
            "arguments": dict(self.arguments),
            "last_stage": self.last_stage,
            "head": self.net.form.to_json(),
            "spec": self.spec.to_json(),
            "labels": self.labels.to_json(),
            "numbers": dict(self.numbers),
            "provenance": self.provenance,
        }
        write_file(path, header, self.net.state_dict())
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read one.

        Raises:
            InvalidCheckpoint: If the file is damaged, of another kind, or contradicts itself.
        """
        from safetensors.torch import load_file

        header = header_of(metadata_of(path), path.name)
        if header.get("kind") != KIND:
            raise InvalidCheckpoint(f"{path.name} holds no detector of people's actions; train one.")
        with whole(path):
            labels = LabelSet.from_json(header["labels"])
            spec = ClipSpec.from_json(header["spec"])
            if header["last_stage"] not in get_args(LastStage):
                raise ValueError(f"last_stage is {header['last_stage']!r}")
            numbers = {str(name): int(number) for name, number in header["numbers"].items()}
            if set(numbers) != set(labels.names):
                raise ValueError("its classes and their numbers differ")
            body = create_model(header["architecture"], ["-"], arguments=dict(header["arguments"]))
            form = BoxHeadForm.from_json(header["head"])
            found = cls.around(
                body, labels, numbers, form, header["last_stage"], spec, str(header["provenance"])
            )
            found.net.load_state_dict(load_file(path))
            found.net.eval()
        return found

    def inputs(self, clips: Tensor) -> Tensor:
        """Pixels uint8 `(B, T, 3, H, W)` as the network takes them."""
        return MODALITIES.get(self.spec.modality).normalise(clips, self.spec, torch.float32)

    @torch.inference_mode()
    def probabilities(self, clips: Tensor, boxes: Sequence[np.ndarray], compute: Compute) -> list[np.ndarray]:
        """What the people of clips do: `(R, K)` of each clip.

        Args:
            clips: uint8 `(B, T, 3, H, W)`.
            boxes: `(R, 4)` px of each.
            compute: Where and how the network runs; it must be there already.
        """
        rois = torch.cat(
            [
                torch.cat((torch.full((len(each), 1), float(i)), torch.from_numpy(each).float()), 1)
                for i, each in enumerate(boxes)
            ]
        )
        x = self.inputs(clips.to(compute.device))
        with compute.autocast():
            maps = self.net.eval().maps(x)
        logits = self.net.head([each.float() for each in maps], rois.to(compute.device))
        found = logits.double().sigmoid().cpu().numpy()
        return np.split(found, np.cumsum([len(each) for each in boxes])[:-1])


def body_of(name: str, pretrained: str | None) -> Recogniser:
    """The recogniser whose maps are looked at.

    Args:
        name: A registered model, or `model.tag` for one with its public weights.
        pretrained: Run folder or model file in its place.

    Raises:
        UnknownName: If there is no such model.
        MissingWeights: If its weights are not here.
        InvalidSetting: If the file is a detector of people's actions itself.
    """
    if pretrained is not None:
        if people_detector_file(pretrained) is not None:
            raise InvalidSetting(
                f"model.pretrained={pretrained} is a detector of people's actions already; name the "
                "recogniser that it started from, or go on with it by --resume."
            )
        return load_model(pretrained)
    return load_model(name) if "." in name else create_model(name, ["-"])
