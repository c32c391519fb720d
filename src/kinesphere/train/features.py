"""Features of frozen layers: computed once for each clip, kept on the disk, read by all probes.

N samples, V views of each, K classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from kinesphere.clips.modality import MODALITIES
from kinesphere.core.device import Compute
from kinesphere.core.files import make_folder, replacing
from kinesphere.core.signals import raise_if_stopped
from kinesphere.data.dataset import Batch, ClipDataset
from kinesphere.data.loader import make_loader
from kinesphere.data.manifest import Manifest
from kinesphere.models.probe_head import ProbeForm
from kinesphere.models.runtime.frozen import FrozenSplit
from kinesphere.train.losses import dense_targets

_IN_MEMORY_BYTES = 2 << 30
"""Features of up to this size are held in memory; larger ones are read from their files for each batch."""


@dataclass(frozen=True, eq=False)
class Features:
    """Features of the readable samples of a part.

    Attributes:
        manifest: The samples, N.
        targets: (N, K).
        files: A file `(V, …)` for each sample.
        loaded: All of them `(N, V, …)`, where they fit into memory.
        columns: Part of the last axis that is looked at; None is all.
    """

    manifest: Manifest
    targets: Tensor
    files: tuple[Path, ...]
    loaded: Tensor | None
    columns: slice | None = None

    def __len__(self) -> int:
        return len(self.files)

    def of(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Features `(B, V, …)` and targets `(B, K)` of some samples."""
        chosen = list(rows)
        if self.loaded is not None:
            found = self.loaded[chosen]
        else:
            found = torch.stack([torch.from_numpy(np.load(self.files[row])) for row in chosen])
        return found if self.columns is None else found[..., self.columns], self.targets[chosen]


@dataclass(frozen=True)
class FeatureReader:
    """Computes features, or finds them where an earlier run has kept them.

    A file is known by what made it: the digest of the frozen weights and of the clip's own numbers. So
    nothing that changes on the way to the network, in the video, beside it or in the recipe, goes unnoticed.

    Attributes:
        split: The frozen layers.
        folder: Where the files lie.
        compute: Where and how the network runs.
        workers: Processes that read clips, or `auto`.
        batch_size: Samples at a time.
    """

    split: FrozenSplit
    folder: Path
    compute: Compute
    workers: int | Literal["auto"]
    batch_size: int

    def read(
        self,
        dataset: ClipDataset,
        problems: Callable[[Batch], None],
        progress: Callable[[int, int], None],
    ) -> Features:
        """The features of all samples that can be read.

        Args:
            dataset: Clips in test-time order, without augmentation.
            problems: Called with each batch, for what could not be read.
            progress: Called with the number of samples done and their total.

        Raises:
            InvalidSetting: If the layers behind the frozen ones are no plain sequence.
        """
        place = self.folder / self._digest()
        make_folder(place)
        files: dict[int, Path] = {}
        rows: list[Tensor] = []
        done = 0
        with make_loader(
            dataset, self.batch_size, workers=self.workers, threads=self.compute.threads
        ) as loader:
            for batch in loader:
                raise_if_stopped()
                problems(batch)
                done += len(batch) + len(batch.failures)
                if batch.indices:
                    files |= dict(zip(batch.indices, self._kept(batch, place), strict=True))
                    rows.append(dense_targets(batch.targets, len(dataset.manifest.labels)))
                progress(done, len(dataset))
        order = tuple(files.values())
        return Features(
            dataset.manifest.select(list(files)),
            torch.cat(rows) if rows else torch.zeros(0, len(dataset.manifest.labels)),
            order,
            _loaded(order),
        )

    def _kept(self, batch: Batch, place: Path) -> list[Path]:
        """The files of a batch's features; those that are not there are computed."""
        files = [
            place / f"{_digest_of([x[row] for x in batch.inputs])}.npy" for row in range(len(batch.indices))
        ]
        missing = [row for row, file in enumerate(files) if not _is_whole(file)]
        # The first ask also tells whether the network can be cut here.
        if missing or not self.split.is_checked:
            rows = missing or [0]
            found = self._computed(tuple(x[rows] for x in batch.inputs))
            for row, values in zip(missing, found, strict=False):
                with replacing(files[row]) as temporary, temporary.open("wb") as file:
                    np.save(file, values)
        return files

    def _computed(self, inputs: tuple[Tensor, ...]) -> np.ndarray:
        """Features `(B, V, …)` of clips `(B, V, T, …)`."""
        count, views = inputs[0].shape[:2]
        normalised = tuple(
            MODALITIES.get(spec.modality).normalise(
                x.flatten(0, 1).to(self.compute.device), spec, torch.float32
            )
            for x, spec in zip(inputs, self.split.recogniser.specs, strict=True)
        )
        with self.compute.autocast():
            found = self.split.features(normalised)
        values: np.ndarray = found.unflatten(0, (count, views)).cpu().contiguous().numpy()
        return values

    def _digest(self) -> str:
        """What the frozen weights are and how they are run."""
        recogniser, found = self.split.recogniser, hashlib.sha256()
        about = {
            "model": recogniser.card.name,
            "arguments": {name: repr(value) for name, value in recogniser.arguments.items()},
            "specs": [spec.to_json() for spec in recogniser.specs],
            "precision": self.compute.precision,
            "head": self.split.paths,
        }
        if isinstance(recogniser.head, ProbeForm) and recogniser.head.grids:
            about["grids"] = [asdict(grid) for grid in recogniser.head.grids]
        found.update(json.dumps(about, sort_keys=True).encode())
        learning = tuple(f"{path}." for path in self.split.paths)
        for name, value in recogniser.net.state_dict().items():
            if not name.startswith(learning):
                found.update(name.encode())
                found.update(value.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()[:16]


def _digest_of(clips: list[Tensor]) -> str:
    found = hashlib.sha256()
    for each in clips:
        found.update(str((tuple(each.shape), each.dtype)).encode())
        found.update(each.contiguous().numpy().tobytes())
    return found.hexdigest()[:32]


def _is_whole(file: Path) -> bool:
    """Whether a file holds as many numbers as it says; one that is cut short or damaged is made again."""
    try:
        return file.is_file() and np.load(file, mmap_mode="r").size > 0
    except (OSError, ValueError, EOFError, SyntaxError, TypeError):
        return False


def _loaded(files: tuple[Path, ...]) -> Tensor | None:
    if not files or sum(file.stat().st_size for file in files) > _IN_MEMORY_BYTES:
        return None
    return torch.from_numpy(np.stack([np.load(file) for file in files]))
