from __future__ import annotations

import pytest
import torch

from kinesphere.core.errors import InvalidSetting
from kinesphere.models import Recogniser, create_model
from kinesphere.models.weights.unfuse import restore_norms


def folded_network() -> Recogniser:
    torch.manual_seed(0)
    return create_model("movinet_stream_tiny", ["a", "b", "c"], arguments={"folded": True}).eval()


def clips(count: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(1, 6, 3, 32, 32, generator=generator) for _ in range(count)]


def test_restored_norms_leave_the_function_as_it_is() -> None:
    folded = folded_network()
    restored = restore_norms(folded, clips()).eval()
    unseen = torch.rand(2, 5, 3, 40, 32)
    with torch.inference_mode():
        torch.testing.assert_close(restored(unseen), folded(unseen), atol=1e-5, rtol=1e-4)
    assert restored.labels == folded.labels
    assert restored.specs == folded.specs
    assert restored.arguments["folded"] is False


def test_restored_norms_normalise_the_clips_they_come_from() -> None:
    restored = restore_norms(folded_network(), clips(1)).eval()
    norms = [m for m in restored.net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    outputs = []
    norms[0].register_forward_hook(
        lambda norm, _, out: outputs.append((out - norm.bias.view(-1, 1, 1)) / norm.weight.view(-1, 1, 1))
    )
    with torch.inference_mode():
        restored(clips(1)[0])
    spread = outputs[0].movedim(1, 0).flatten(1)
    torch.testing.assert_close(spread.mean(1), torch.zeros(len(spread)), atol=1e-3, rtol=0)


def test_a_network_with_norms_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="only a folded network lacks them"):
        restore_norms(create_model("movinet_stream_tiny", ["a", "b"]), clips())


def test_no_clips_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="restored from clips, but none came"):
        restore_norms(folded_network(), [])
