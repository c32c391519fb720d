"""What the paper says of frame encoders with an LSTM; there is no public output to compare with."""

from __future__ import annotations

import pytest
import torch

from kinesphere.core.errors import InvalidSetting
from kinesphere.models import create_model

LABELS = ("clap", "jump", "wave")


def fresh(**arguments: object):
    torch.manual_seed(0)
    return create_model("cnn_lstm_tiny", LABELS, arguments=arguments)


@torch.inference_mode()
def test_the_mean_over_steps_is_the_mean_of_their_scores():
    net = fresh(output="mean").net
    clip = torch.randn(2, 4, 3, 64, 64)
    steps_BTD, _ = net.memory.lstm(net.backbone(clip.flatten(0, 1)).unflatten(0, (2, 4)))
    assert torch.allclose(net.fc(steps_BTD).mean(1), net(clip), atol=1e-6)


@torch.inference_mode()
def test_the_last_state_of_a_clip_is_that_of_its_end():
    one_way, both = fresh(output="last"), fresh(output="last", bidirectional=True)
    clip = torch.randn(2, 4, 3, 64, 64)
    for model in (one_way, both):
        assert not torch.allclose(model(clip), model(clip.flip(1)), atol=1e-4)  # order matters
    width = both.net.memory.outputs // 2
    memory = both.net.memory
    features_BTD = torch.randn(2, 4, both.net.backbone.outputs)
    changed = features_BTD.clone()
    changed[:, 0] += 1
    steps, again = memory.lstm(features_BTD)[0], memory.lstm(changed)[0]
    # Forwards, the last step has seen the whole clip; backwards, the first has.
    assert torch.equal(memory(features_BTD), torch.cat([steps[:, -1, :width], steps[:, 0, width:]], 1))
    assert torch.equal(steps[:, 1:, width:], again[:, 1:, width:])
    assert not torch.allclose(steps[:, 1:, :width], again[:, 1:, :width])


def test_another_output_is_refused():
    with pytest.raises(InvalidSetting, match="output of the LSTM is 'last' or 'mean'; got 'max'"):
        fresh(output="max")
