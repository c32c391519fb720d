"""Networks of proposals (SSN, BSN, BMN): the same numbers as the public ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kinesphere.localise.proposals import greedy
from kinesphere.localise.structured import settled
from kinesphere.models.temporal import bmn, bsn, ssn
from kinesphere.models.temporal.bmn import BMN, sampling
from kinesphere.models.temporal.bsn import BoundaryModule, ProposalModule
from kinesphere.models.temporal.ssn import SSN, Placed, RowScores, Stages, Verdicts
from kinesphere.models.weights.keymap import KeyMap
from kinesphere.models.weights.maps.resnet2d import MMACTION2
from kinesphere.models.zoo.tsn import TSN

HALVES = Stages(course=(1, 2))
OF_THE_TEST = ("activity", "completeness", "regression")


def stored(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    root = os.environ.get("KINESPHERE_TEST_DATA")
    if not root:
        pytest.skip("KINESPHERE_TEST_DATA is not set: no parity fixtures here")
    with np.load(Path(root) / "parity" / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return arrays, json.loads(str(arrays.pop("meta")))


def drawn(shape: Iterable[int]) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(tuple(shape)).astype(np.float32))


def close(found: Tensor, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    assert float(np.abs(found.detach().numpy() - wanted).max() / np.abs(wanted).max()) < 1e-4


def filled(net: nn.Module, key_map: KeyMap, state: dict[str, Tensor]) -> None:
    mapped = key_map.to_ours(state)
    assert not mapped.unmapped
    net.load_state_dict(mapped.state)
    net.eval()
    back = key_map.to_theirs(mapped.state).state
    assert all(torch.equal(back[key], value) for key, value in state.items() if key not in mapped.ignored)


def same(found: Verdicts, arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> None:
    for name, own in zip(names, OF_THE_TEST, strict=True):
        close(getattr(found, own), arrays[name].reshape(getattr(found, own).shape))


@pytest.mark.parametrize("joint", [False, True])
def test_a_structured_pyramid_is_the_authors(joint, fill_rule):
    arrays, meta = stored("ssn_stpp_1_12_1" + "_joint" * joint)
    net = SSN(32, 4, HALVES, joint=joint)
    filled(net, ssn.KEY_MAPS[1], {key: fill_rule(key, shape, 1.0) for key, shape in meta["state"]})
    scale = torch.from_numpy(arrays["input/scaling"])
    with torch.no_grad():
        found = net(drawn(arrays["x_shape_0"]).unflatten(0, (3, 9)), scale)
    same(found, arrays, ("logits", "completeness", "regression"))
    if joint:
        return
    placed = placed_as(arrays["input/proposal_ticks"], arrays["input/test_scaling"])
    published = RowScores(net, published=True)
    with torch.no_grad():
        scores = published.scores(drawn(arrays["x_shape_1"]))
        close(scores, arrays["test_fc_scores"])
        found = published.pooled(scores, placed)
    same(found, arrays, ("test_activity", "test_completeness", "test_regression"))


def placed_as(ticks: np.ndarray, scale: np.ndarray) -> Placed:
    return Placed(torch.from_numpy(ticks), torch.from_numpy(scale))


def test_detections_are_suppressed_before_they_are_regressed():
    arrays, _ = stored("ssn_nms_regression")
    rows = arrays["detections"]
    for overlap in (0.2, 0.6):
        kept, _, _ = greedy(rows[:, :2], rows[:, 2], overlap)
        np.testing.assert_allclose(rows[kept], arrays[f"nms_{overlap}"])
    segments, scores = settled(rows[:, :2], rows[:, 2], rows[:, 3:], 0.6)
    np.testing.assert_allclose(segments, arrays["regressed_after_nms_0.6"][:, :2], atol=1e-9)
    np.testing.assert_allclose(scores, arrays["regressed_after_nms_0.6"][:, 2])


@pytest.mark.slow
def test_a_whole_segment_network_is_mmaction2s(fill_rule):
    arrays, meta = stored("mmaction2_0x_ssn_r50_test")
    state = {key: fill_rule(key, shape, 1.0) for key, shape in meta["state"]}
    backbone = KeyMap("mmaction2", MMACTION2).to_ours(
        {key: value for key, value in state.items() if key.startswith("backbone.")}
    )
    assert not backbone.unmapped
    frames = TSN(20, 50).eval()
    missing = frames.load_state_dict(backbone.state, strict=False)
    assert set(missing.missing_keys) == {"fc.weight", "fc.bias"}
    net = SSN(2048, 20)
    filled(net, ssn.KEY_MAPS[0], {key: value for key, value in state.items() if key.startswith("cls_head.")})
    published = RowScores(net, published=True)
    with torch.inference_mode():
        rows = frames.frame_features(drawn(arrays["x_shape"])[0])
        close(rows, arrays["features"])
        scores = published.scores(rows)
        close(scores, arrays["logits"])
        placed = placed_as(arrays["proposal_ticks"], arrays["scale_factors"])
        found = published.pooled(scores, placed)
        same(found, arrays, ("activity_scores", "completeness_scores", "bbox_preds"))
        of_training, _ = stored("mmaction2_0x_ssn_r50_train_head")
        snippets = frames.frame_features(drawn(of_training["x_shape"]))
        found = net(snippets[None], torch.from_numpy(of_training["scale_factor"]))
    same(found, of_training, ("logits", "completeness", "bbox"))


def test_boundary_sensitive_networks_are_mmaction2s(fill_rule):
    for name, net, key_map in (
        ("tem", BoundaryModule(400), bsn.BOUNDARY_KEY_MAP),
        ("pem", ProposalModule(), bsn.PROPOSAL_KEY_MAP),
    ):
        arrays, meta = stored(f"mmaction2_bsn_{name}_400x100")
        filled(net, key_map, {key: fill_rule(key, shape, 1.0) for key, shape in meta["state"]})
        with torch.inference_mode():
            close(net(drawn(arrays["x_shape"])), arrays["logits"])


def test_the_samples_of_proposals_are_mmaction2s_and_few():
    arrays, _ = stored("mmaction2_bmn_400x100")
    mask = sampling(100, 32, 3, 0.5)
    cells, columns = mask.indices
    dense = np.zeros((100, 320_000), np.float32)
    dense[columns % 100, columns // 100 * 10_000 + cells] = mask.values
    index = arrays["kept_sample/sample_mask_col_index"]
    np.testing.assert_allclose(dense[:, index], arrays["kept_sample/sample_mask_cols"], atol=1e-5)
    np.testing.assert_allclose(dense.sum(0), arrays["kept_sample/sample_mask_col_sum"], atol=1e-5)
    np.testing.assert_allclose(dense.sum(1), arrays["kept_sample/sample_mask_row_sum"], rtol=1e-5)
    assert mask.values.nbytes + mask.indices.nbytes < dense.nbytes / 10


@pytest.mark.slow
def test_a_boundary_matching_network_is_mmaction2s(fill_rule):
    arrays, meta = stored("mmaction2_bmn_400x100")
    shapes = [each for each in meta["state"] if each[0] not in meta["kept_buffers"]]
    state = {key: fill_rule(key, shape, 1.0) for key, shape in shapes}
    state |= {"sample_mask": torch.zeros(1), "bm_mask": torch.zeros(1)}
    net = BMN(400)
    filled(net, bmn.KEY_MAP, state)
    with torch.inference_mode():
        found = net(drawn(arrays["x_shape"]))
    close(torch.stack((found.classified, found.regressed), 1), arrays["logits"])
    close(found.starts, arrays["start"])
    close(found.ends, arrays["end"])
