"""On a GPU every network computes what it computes on a CPU, plain and prepared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.device import Compute, Precision
from kinesphere.core.labels import LabelSet
from kinesphere.models import Recogniser, create_model, list_models
from kinesphere.models.runtime.inference import optimise_for_inference
from kinesphere.models.runtime.measure import input_shape

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
LABELS = LabelSet(("clap", "jump", "wave"))


@pytest.fixture(autouse=True)
def _exact_products() -> Iterator[None]:
    """fp32 means fp32: cuDNN multiplies in TF32 unless it is told not to."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def recogniser_and_batch(name: str) -> tuple[Recogniser, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    recogniser = create_model(name, LABELS)
    return recogniser, tuple(example(spec) for spec in recogniser.specs)


def example(spec: ClipSpec) -> Tensor:
    shape = input_shape(spec, batch=2)
    if spec.modality != "pose":
        return torch.randn(shape)
    points = (torch.rand(*shape[:-1], spec.dimensions) - torch.tensor(spec.mean)) / torch.tensor(spec.std)
    return torch.cat([points, torch.rand(*shape[:-1], 1)], -1)


def relative_difference(a: Tensor, b: Tensor) -> float:
    return float((a.float().cpu() - b.float()).abs().max() / b.float().abs().max())


@pytest.mark.parametrize("name", list_models(tiny=True))
@torch.inference_mode()
def test_logits_equal_the_cpu(name):
    recogniser, batch = recogniser_and_batch(name)
    wanted = recogniser(*batch)
    compute = Compute("cuda", "fp32", channels_last=True)
    prepared = optimise_for_inference(recogniser, compute)
    on_gpu = tuple(x.cuda() for x in batch)
    assert relative_difference(prepared(*on_gpu), wanted) < 1e-4
    assert relative_difference(compute.place(recogniser)(*on_gpu), wanted) < 1e-4


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", list_models(tiny=True))
@torch.inference_mode()
def test_mixed_precision_stays_near_fp32(name: str, precision: Precision):
    recogniser, batch = recogniser_and_batch(name)
    wanted = recogniser(*batch)
    compute = Compute("cuda", precision, channels_last=True)
    prepared = optimise_for_inference(recogniser, compute)
    with compute.autocast():
        got = prepared(*(x.cuda() for x in batch))
    assert relative_difference(got, wanted) < (0.1 if precision == "bf16" else 0.02)
