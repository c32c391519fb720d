"""The parity fixtures: what public implementations compute with a state filled by a rule."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kinesphere.models.registry import MODELS
from kinesphere.models.weights.importing import import_state
from kinesphere.models.weights.keymap import Arguments


@dataclass(frozen=True, eq=False)
class Recorded:
    """One fixture: the public state, the input, and what came out."""

    name: str
    meta: dict[str, Any]
    state: dict[str, Tensor]
    xs: tuple[Tensor, ...]
    logits: Tensor

    @property
    def x(self) -> Tensor:
        """The only input, or the first of several."""
        return self.xs[0]

    @property
    def tolerance(self) -> float:
        """Relative to the largest logit."""
        return max(1e-4, 10 * float(self.meta.get("float32_vs_float64_rel") or 0.0))


def fill(name: str, shape: list[int], gain: float) -> Tensor:
    """The filling rule of the fixtures' README."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    z = np.random.default_rng(seed).standard_normal(shape)
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith("running_var"):
        values = 1 + 0.1 * np.abs(z)
    elif name.endswith("running_mean"):
        values = 0.1 * z
    elif len(shape) <= 1:
        values = 1 + 0.1 * z if name.endswith("weight") else 0.1 * z
    else:
        values = gain * z * np.sqrt(2 / np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def recorded(name: str) -> Recorded:
    root = os.environ.get("KINESPHERE_TEST_DATA")
    if not root:
        pytest.skip("KINESPHERE_TEST_DATA is not set: no parity fixtures here")
    with np.load(Path(root) / "parity" / f"{name}.npz") as arrays:
        meta = json.loads(str(arrays["meta"]))
        kept = {key[5:]: torch.from_numpy(arrays[key]) for key in arrays.files if key.startswith("kept/")}
        several = sorted(key for key in arrays.files if key.startswith("x_shape_"))
        shapes = [tuple(arrays[key]) for key in several or ["x_shape"]]
        logits = arrays["logits_f64"] if "logits_f64" in arrays.files else arrays["logits"]
    state = {
        key: kept[key] if key in kept else fill(key, size, float(meta.get("gain", 1.0)))
        for key, size in meta["state"]
    }
    xs = tuple(
        torch.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
        for shape in shapes
    )
    return Recorded(name, meta, state, xs, torch.from_numpy(logits))


def to_views(x: Tensor, layout: str) -> Tensor:
    """Views `(V, T, C, H, W)` of one sample, or a batch, from the peer's layout."""
    if layout in ("N C T H W", "list of pathways, each N C T H W"):
        return x.transpose(1, 2)
    if layout == "N num_clips C T H W":
        return x.flatten(0, 1).transpose(1, 2)
    if layout in ("N num_segs C H W", "N T C H W"):
        return x
    if layout == "N C H W":
        return x.unsqueeze(1)
    if layout == "N num_clips M T V C":
        return as_poses(x.flatten(0, 1).transpose(1, 2))
    if layout == "N C T V M":
        return as_poses(x.permute(0, 2, 4, 3, 1))
    raise AssertionError(f"say how to read the layout {layout!r} through `inputs=`")


def as_poses(x_BTPJC: Tensor) -> Tensor:
    """Pose clips: 25 joints lie in space, so that their values are coordinates alone; all were seen."""
    return torch.cat([x_BTPJC, torch.ones_like(x_BTPJC[..., :1])], -1) if x_BTPJC.shape[3] == 25 else x_BTPJC


@pytest.fixture(name="recorded")
def read_recorded() -> Callable[[str], Recorded]:
    """`recorded(fixture)`: one fixture, for what `check_parity` does not compare."""
    return recorded


@pytest.fixture
def torchvision_operators() -> None:
    """Let torchvision be imported whose compiled operators do not fit torch, also by other libraries."""
    schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for operator in ("nms", "qnms"):  # an import declares shapes for them; nothing here runs them
        if not hasattr(torch.ops.torchvision, operator):
            torch.library.define(f"torchvision::{operator}", schema)


@pytest.fixture
def torchvision_video(torchvision_operators: None) -> ModuleType:
    """`torchvision.models.video`, where it is installed; its compiled operators need not fit this torch."""
    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed: no reference to compare with")
    return import_module("torchvision.models.video")


@pytest.fixture
def check_parity() -> Callable[..., None]:
    """`check_parity(fixture, model, layout=…, inputs=…, logits=…, run=…)`.

    Imports the filled state strictly, maps it back to the very same public state, and compares logits.
    `inputs` turns the recorded `x` into our inputs; `logits` turns our output into the recorded form;
    `run(net, *recorded inputs)` gives the logits where the recorded inputs are not those of our `forward`;
    `kept` gives buffers that the fixture keeps as constructed and does not store; `arguments` those of a
    network of another size.
    """

    def check(
        fixture: str,
        model: str,
        *,
        layout: str,
        inputs: Callable[[Tensor], tuple[Tensor, ...]] | None = None,
        logits: Callable[[Tensor], Tensor] | None = None,
        run: Callable[..., Tensor] | None = None,
        kept: dict[str, Tensor] | None = None,
        arguments: Arguments | None = None,
    ) -> None:
        peer = recorded(fixture)
        state = peer.state | (kept or {})
        recogniser = import_state(state, model, arguments=arguments)  # the layout is found untold
        key_map = next(m for m in MODELS.get(model).key_maps if m.layout == layout)
        assert not key_map.to_ours(state).unmapped
        back = key_map.to_theirs(recogniser.net.state_dict())
        ignored = key_map.to_ours(state).ignored
        assert not back.unmapped
        assert set(back.state) == set(state) - set(ignored)
        assert all(torch.equal(back.state[key], state[key]) for key in back.state)
        with torch.inference_mode():
            if run:
                out = run(recogniser.net, *peer.xs)
            else:
                batch = inputs(peer.x) if inputs else (to_views(peer.x, peer.meta["input_layout"]),)
                out = recogniser(*batch)
        out = logits(out) if logits else out
        assert out.shape == peer.logits.shape
        error = (out - peer.logits).abs().max() / peer.logits.abs().max()
        assert error < peer.tolerance, f"{fixture}: relative error {error:.2e}, allowed {peer.tolerance:.0e}"

    return check


@pytest.fixture
def fill_rule() -> Callable[[str, list[int], float], Tensor]:
    """`fill_rule(name, shape, gain)`: what the fixtures fill a tensor of a state with."""
    return fill
