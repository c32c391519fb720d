from __future__ import annotations

from itertools import islice
from pathlib import Path

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.data import ClipDataset, Manifest, make_loader
from kinesphere.train.loader import ResumableLoader


def loader(videos: Path) -> ResumableLoader:
    spec = ClipSpec(Sampling("uniform", 2), size=(16, 16))
    dataset = ClipDataset(Manifest.read(videos), spec, train=True, seed=3)
    return ResumableLoader(make_loader(dataset, 5, workers=0))


def test_it_continues_within_and_after_an_epoch(videos: Path) -> None:
    whole = loader(videos)
    expected = [[batch.indices for batch in whole] for _ in range(3)]
    assert [len(epoch) for epoch in expected] == [5, 5, 5] == [len(whole)] * 3
    assert expected[0] != expected[1]
    part = loader(videos)
    for _ in islice(part, 5):
        pass
    for _ in islice(part, 2):
        pass
    assert part.state_dict() == {"epoch": 1, "batch": 2}
    resumed = loader(videos)
    resumed.load_state_dict(part.state_dict())
    assert [batch.indices for batch in resumed] == expected[1][2:]
    assert [batch.indices for batch in resumed] == expected[2]
    assert resumed.state_dict() == {"epoch": 3, "batch": 0}
    assert resumed.waited_s > 0
