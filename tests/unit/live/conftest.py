from __future__ import annotations

import pytest
import torch

from kinesphere.core.device import Compute
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model
from kinesphere.predict import Predictor

LABELS = LabelSet(("clap", "jump", "wave"))


@pytest.fixture(scope="session")
def streaming() -> Predictor:
    """A network that takes frame after frame, at 5 a second, in which every layer counts."""
    torch.manual_seed(0)
    model = create_model("movinet_stream_tiny", LABELS)
    with torch.no_grad():
        for key, parameter in model.net.named_parameters():
            if key.endswith("alpha"):
                parameter.fill_(0.7)
    return Predictor(model, Compute.choose("cpu", "fp32"), name="streaming")
