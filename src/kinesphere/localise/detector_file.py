"""The file of a detector, whatever its method: a model file whose header says that it is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from kinesphere.core.errors import InvalidCheckpoint, KinesphereError
from kinesphere.core.labels import LabelSet
from kinesphere.localise.sight import Sight
from kinesphere.models.header import KEY, header_of, metadata_of, write_file

KIND = "localiser"
"""In the header of a model file: that it holds a detector of actions in recordings."""
_NET = "net."


@dataclass(frozen=True, eq=False)
class DetectorFile:
    """What lies in the file of a detector.

    Attributes:
        architecture: Its name in `METHODS`.
        arguments: That rebuild its network, beside features and classes.
        labels: Its classes.
        sight: The features that it sees.
        own: What else its method keeps in the header, by name.
        net: State of the network.
        tensors: What else its method keeps, by name.
    """

    architecture: str
    arguments: dict[str, Any]
    labels: LabelSet
    sight: Sight
    own: Mapping[str, Any]
    net: Mapping[str, Tensor]
    tensors: Mapping[str, Tensor]

    @classmethod
    def of(
        cls,
        architecture: str,
        arguments: dict[str, Any],
        labels: LabelSet,
        sight: Sight,
        own: Mapping[str, Any],
        net: nn.Module,
        **tensors: Tensor,
    ) -> DetectorFile:
        """What will lie in one."""
        return cls(architecture, arguments, labels, sight, own, net.state_dict(), tensors)

    def write(self, path: Path) -> Path:
        """Write a `.safetensors`; it appears whole or not at all.

        Raises:
            UnwritableFile: If the place or the disk refuses.
        """
        header = {
            "kind": KIND,
            "architecture": self.architecture,
            "arguments": self.arguments,
            "labels": self.labels.to_json(),
            "sight": vars(self.sight),
            **self.own,
        }
        net = {f"{_NET}{key}": value for key, value in self.net.items()}
        write_file(path, header, {**net, **self.tensors})
        return path

    @classmethod
    def read(cls, path: Path, shapes: Mapping[str, tuple[int | str, ...]]) -> DetectorFile:
        """Read one.

        Args:
            path: The file.
            shapes: Of the method's own tensors; `C` stands for the width of the features, `K` for the number
                of classes, `C + 1` and `K + 1` for one more.

        Raises:
            InvalidCheckpoint: If it is damaged, of another kind, or its tensors have other shapes.
        """
        from safetensors.torch import load_file

        header = dict(detector_header(path))
        with whole(path):
            labels = LabelSet(tuple(map(str, header.pop("labels")["names"])))
            sight = Sight(**header.pop("sight"))
            state = load_file(path)
            tensors = {name: state.pop(name) for name in shapes}
            sizes = {"C": sight.width, "C + 1": sight.width + 1, "K + 1": len(labels) + 1}
            for name, shape in shapes.items():
                wanted = tuple(sizes[each] if isinstance(each, str) else each for each in shape)
                if tensors[name].shape != wanted:
                    raise ValueError(f"{name} has the shape {tuple(tensors[name].shape)}, not {wanted}")
            net = {key.removeprefix(_NET): value for key, value in state.items()}
            name, arguments = str(header.pop("architecture")), dict(header.pop("arguments"))
            return cls(name, arguments, labels, sight, header, net, tensors)


def detector_header(path: Path) -> dict[str, Any]:
    """The header of a detector's file.

    Raises:
        InvalidCheckpoint: If it is damaged or of another kind.
    """
    header = header_of(metadata_of(path), path.name)
    if header.get("kind") != KIND:
        raise InvalidCheckpoint(f"{path.name} holds a recogniser of clips, not a detector of actions.")
    return header


def is_localiser(path: Path) -> bool:
    """Whether a model file holds a detector.

    Raises:
        InvalidCheckpoint: If it is damaged.
    """
    metadata = metadata_of(path) if path.suffix.lower() == ".safetensors" else None
    return KEY in (metadata or {}) and header_of(metadata, path.name).get("kind") == KIND


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Context in which a detector is made of its file: whatever does not fit says that this is not whole.

    Raises:
        InvalidCheckpoint: If so.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (KinesphereError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise InvalidCheckpoint(f"{path.name} is no whole detector: {str(error)[:300]}") from error
