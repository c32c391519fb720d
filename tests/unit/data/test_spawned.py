"""Every pool and loader works where processes are spawned, as on macOS and Windows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kinesphere.annotations.extract import FlowExtractor, extract
from kinesphere.clips.augment.settings import Augment
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.parallel import bounded_map
from kinesphere.data import ClipDataset, FrameCache, Manifest, Opening, check, make_loader
from kinesphere.models import card


@pytest.fixture(autouse=True)
def spawned(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("core.parallel", "data.loader"):
        monkeypatch.setattr(f"kinesphere.{module}.start_method", lambda: "spawn")


def rgb() -> ClipSpec:
    return card("r3d_tiny").inputs[0]


@pytest.mark.slow
def test_many_files(mannequins: Path, tmp_path: Path) -> None:
    assert dict(bounded_map(abs, [-1, 2], workers=1, timeout_s=60)) == {-1: 1, 2: 2}
    manifest = Manifest.read(mannequins).select(range(2))
    assert not check(manifest, rgb(), workers=1).unreadable
    done = extract(
        [manifest[0].path], FlowExtractor("dis", 32), extracts=Extracts(tmp_path, manifest.root), workers=1
    )
    assert len(done.written) == 1, done


@pytest.mark.slow
def test_batches_are_the_same(mannequins: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(mannequins).select(range(3))
    dataset = ClipDataset(
        manifest,
        (rgb(),),
        train=True,
        augment=Augment(),
        opening=Opening(cache=FrameCache(tmp_path / "cache", 2**24)),
    )
    here, there = ([batch.inputs[0] for batch in make_loader(dataset, 2, workers=n)] for n in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))
