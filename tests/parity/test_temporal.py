"""One-stage detectors of actions: networks, assignment, losses and decoding equal the public ones."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.localise.assembly import Truth, targets_of
from kinesphere.localise.decoding import Decoding, segments_of
from kinesphere.localise.losses import DetectionLoss, cheapest
from kinesphere.localise.suppression import Suppression, suppressed
from kinesphere.models.temporal import actionformer, temporalmaxer, tridet
from kinesphere.models.temporal.actionformer import ActionFormer
from kinesphere.models.temporal.pyramid import Answers, OneStage, Points
from kinesphere.models.temporal.temporalmaxer import TemporalMaxer
from kinesphere.models.temporal.tridet import TriDet

NETWORKS: dict[str, tuple[ModuleType, type[OneStage]]] = {
    "temporalmaxer": (temporalmaxer, TemporalMaxer),
    "tridet": (tridet, TriDet),
    "actionformer": (actionformer, ActionFormer),
}


def stored(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    root = os.environ.get("KINESPHERE_TEST_DATA")
    if not root:
        pytest.skip("KINESPHERE_TEST_DATA is not set: no parity fixtures here")
    with np.load(Path(root) / "parity" / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return arrays, json.loads(str(arrays.pop("meta")))


def relative(found: Tensor, wanted: np.ndarray) -> float:
    return float(np.abs(found.detach().numpy() - wanted).max() / np.abs(wanted).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_public_state_gives_public_answers(name, fill_rule):
    arrays, meta = stored(f"{name}_thumos_i3d_vec")
    module, build = NETWORKS[name]
    columns = set(meta["filled_as_vector"])
    state = {
        key: fill_rule(key, [shape[1]] if key in columns else shape, 1.0).view(shape)
        for key, shape in meta["state"]
    }
    mapped = module.KEY_MAP.to_ours(state)
    assert not mapped.unmapped
    net = build(2048, 20).eval()  # type: ignore[call-arg]
    net.load_state_dict(mapped.state)
    back = module.KEY_MAP.to_theirs(mapped.state).state
    assert all(torch.equal(back[key], value) for key, value in state.items())
    x = np.random.default_rng(0).standard_normal(tuple(arrays["x_shape"])).astype(np.float32)
    length, padded = x.shape[2], meta["padded_length"]
    assert padded % net.multiple == 0
    with torch.inference_mode():
        found = net(F.pad(torch.from_numpy(x), (0, padded - length)), torch.arange(padded)[None] < length)
    assert found.lengths == arrays["level_lengths"].tolist()
    assert relative(found.logits, arrays["logits"]) < 1e-4
    assert relative(found.offsets, arrays["offsets"]) < 1e-4
    for key, own in (("start_logits", found.starts), ("end_logits", found.ends)):
        if key in arrays:
            assert own is not None
            assert relative(own, arrays[key]) < 1e-4


def answers(arrays: Mapping[str, np.ndarray]) -> Answers:
    at, low, high, stride = torch.from_numpy(arrays["points"]).unbind(1)
    learnt = {
        key: torch.from_numpy(arrays[key]).requires_grad_()
        for key in ("logits", "offsets", "start_logits", "end_logits")
        if key in arrays
    }
    return Answers(
        learnt["logits"],
        learnt["offsets"],
        torch.from_numpy(arrays["mask"]),
        arrays["level_lengths"].tolist(),
        Points(at, stride, low, high),
        learnt.get("start_logits"),
        learnt.get("end_logits"),
    )


def small(name: str, classes: int) -> OneStage:
    return NETWORKS[name][1](8, classes, 16, 6)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", NETWORKS)
def test_points_answer_for_the_same_actions_at_the_same_loss(name):
    arrays, meta = stored(f"{name}_training")
    net, found = small(name, 4), answers(arrays)
    targets = [
        targets_of(
            found.points,
            Truth(*(torch.from_numpy(arrays[f"gt_{what}_{i}"]) for what in ("segments", "labels"))),
            4,
            cost=cheapest(net, found, i) if name == "temporalmaxer" else None,
        )
        for i in range(2)
    ]
    positive = torch.stack([each.positive for each in targets]) & found.mask
    np.testing.assert_array_equal(positive.numpy(), arrays["positive"])
    classes = torch.stack([each.classes for each in targets]) * found.mask[..., None]
    np.testing.assert_array_equal(classes.numpy(), arrays["cls_targets"] * arrays["mask"][..., None])
    reach = torch.stack([each.distances for each in targets])
    np.testing.assert_allclose(reach[positive], arrays["reg_targets"][arrays["positive"]], atol=1e-5)
    loss = DetectionLoss(power=meta["iou_weight_power"] or 0.0)
    focal, ends = loss(net, found, targets)
    assert float(focal.detach()) == pytest.approx(meta["losses"]["cls_loss"], rel=1e-5)
    assert float(ends.detach()) == pytest.approx(meta["losses"]["reg_loss"], rel=1e-5)
    assert float(loss.normaliser) == pytest.approx(meta["loss_normalizer_after"])
    (focal + ends).backward()
    for key, own in (
        ("grad_logits", found.logits), ("grad_offsets", found.offsets),
        ("grad_start_logits", found.starts), ("grad_end_logits", found.ends),
    ):  # fmt: skip
        if key in arrays:
            np.testing.assert_allclose(own.grad, arrays[key], atol=1e-7)


METHODS = {"soft": "gaussian", "hard": "hard", "none": "none"}


@pytest.mark.parametrize("name", ["actionformer", "tridet"])
def test_answers_become_the_same_detections(name):
    arrays, meta = stored(f"{name}_decode")
    video = meta["video"]
    for variant in meta["variants"]:
        settings, key = variant["settings"], variant["name"]
        every = settings["nms_method"] == "none"
        rule = Suppression(
            METHODS[settings["nms_method"]],
            settings["iou_threshold"],
            settings["nms_sigma"],
            settings["min_score"],
            10**6 if every else settings["max_seg_num"],
            settings["multiclass_nms"],
            settings["voting_thresh"],
            name != "tridet",
        )
        decoding = Decoding(
            settings["pre_nms_thresh"], settings["pre_nms_topk"], settings["duration_thresh"], rule
        )
        with torch.no_grad():
            segments, scores, labels = segments_of(small(name, 5), answers(arrays), decoding)
        middle = video["feat_num_frames"] / 2
        seconds = (segments * video["feat_stride"] + middle) / video["fps"]
        wanted = {each: arrays[f"{key}_{each}"] for each in ("segments", "scores", "labels")}
        order = np.argsort(-wanted["scores"], kind="stable")
        np.testing.assert_allclose(scores, wanted["scores"][order], atol=1e-6)
        np.testing.assert_allclose(seconds.clip(0, video["duration"]), wanted["segments"][order], atol=1e-5)
        np.testing.assert_array_equal(labels, wanted["labels"][order])


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("gaussian", Suppression("gaussian", most=1000)),
        ("linear", Suppression("linear", 0.3, least_score=0.01, most=1000)),
        ("hard", Suppression("hard", 0.5, most=1000)),
    ],
)
def test_suppression_is_the_sequential_one(key, rule):
    arrays, _ = stored("softnms_1d")
    segments, scores = arrays["segments"].astype(np.float64), arrays["scores"].astype(np.float64)
    order = arrays[f"{key}_index"]
    scores[order] += 1e-9 * np.arange(len(order), 0, -1)  # two are equal, of which theirs takes the later one
    found = suppressed(segments, scores, np.zeros(len(scores), np.int64), rule)
    np.testing.assert_allclose(found[0], arrays[f"{key}_segments"], atol=1e-5)
    np.testing.assert_allclose(found[1], arrays[f"{key}_scores"], atol=1e-6)
