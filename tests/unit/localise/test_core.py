from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidSetting
from kinesphere.localise.assembly import Truth, targets_of
from kinesphere.localise.decoding import Decoding, detections, segments_of
from kinesphere.localise.losses import DetectionLoss, diou, sigmoid_focal
from kinesphere.localise.suppression import LEAST_LENGTH, Suppression, suppressed
from kinesphere.models.temporal.actionformer import ActionFormer
from kinesphere.models.temporal.pyramid import Answers, OneStage, Points
from kinesphere.models.temporal.temporalmaxer import TemporalMaxer
from kinesphere.models.temporal.tridet import TriDet
from kinesphere.predict.features.file import VideoFeatures

NETWORKS = (TemporalMaxer, ActionFormer, TriDet)


def build(kind: type[OneStage], **changes: int) -> OneStage:
    torch.manual_seed(0)
    return kind(6, 3, 16, 3, **changes)  # type: ignore[call-arg]


def sequential(segments: np.ndarray, scores: np.ndarray, rule: Suppression) -> list[tuple[int, float]]:
    """Soft-NMS as it is defined, one after the other."""
    left, found = {i: s for i, s in enumerate(scores.tolist()) if s >= rule.least_score}, []
    while left and len(found) < rule.most:
        best = max(left, key=lambda i: (left[i], -i))
        score = left.pop(best)
        found.append((best, score))
        a, b = segments[best]
        for i in list(left):
            c, d = segments[i]
            shared = max(0.0, min(b, d) - max(a, c))
            overlap = shared / (b - a + d - c + 2 * LEAST_LENGTH - shared)
            if rule.method == "gaussian":
                left[i] *= np.exp(-(overlap**2) / rule.sigma)
            elif overlap >= rule.tiou:
                left[i] *= (1 - overlap) if rule.method == "linear" else 0.0
            if left[i] < rule.least_score or left[i] == 0:
                del left[i]
    return found


@settings(max_examples=30)
@given(
    st.integers(0, 10**6),
    st.integers(1, 60),
    st.sampled_from(["gaussian", "linear", "hard"]),
    st.integers(1, 9),
)
def test_classes_side_by_side_are_suppressed_as_each_alone(seed, count, method, most):
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, 20, count)
    segments = np.column_stack((starts, starts + rng.exponential(4, count)))
    scores, labels = rng.uniform(0, 1, count), rng.integers(0, 4, count)
    rule = Suppression(method, 0.3, least_score=0.05, most=most)
    alone = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        alone += [(rows[i], score) for i, score in sequential(segments[rows], scores[rows], rule)]
    alone = sorted(alone, key=lambda each: -each[1])[:most]
    kept, found, named = suppressed(segments, scores, labels, rule)
    np.testing.assert_allclose(found, [score for _, score in alone], atol=1e-9)
    np.testing.assert_array_equal(kept, segments[[i for i, _ in alone]].reshape(-1, 2))
    np.testing.assert_array_equal(named, labels[[i for i, _ in alone]])


def test_a_vote_moves_boundaries_towards_others_and_nothing_is_something_of_nothing():
    segments, scores = np.array([[0.0, 10.0], [1.0, 11.0], [50.0, 51.0]]), np.array([0.6, 0.3, 0.2])
    rule = Suppression("hard", 0.5, per_class=False, vote=0.5, vote_by_overlap=False)
    kept, _, _ = suppressed(segments, scores, np.zeros(3, int), rule)
    np.testing.assert_allclose(kept, [[1 / 3, 10 + 1 / 3], [50, 51]])
    assert len(suppressed(segments[:0], scores[:0], np.zeros(0, int), Suppression())[1]) == 0
    with pytest.raises(InvalidSetting, match="overlaps between 0 and 1"):
        Suppression(tiou=2.0)


@pytest.mark.parametrize("kind", NETWORKS)
def test_what_is_padded_says_nothing_and_gradients_reach_all_that_learns(kind):
    net = build(kind)
    x, mask = torch.randn(2, 6, 16), torch.arange(16)[None] < torch.tensor([16, 9])[:, None]
    answers = net(x * mask[:, None], mask)
    assert answers.lengths == [16, 8, 4]
    assert answers.logits.shape == (2, 28, 3)
    assert not answers.logits[~answers.mask].any()
    assert net.distances(answers).shape == (2, 28, 3 if kind is TriDet else 1, 2)
    truth = [Truth(torch.tensor([[2.0, 6.0], [1.0, 8.5]]), torch.tensor([0, 2]))] * 2
    targets = [targets_of(answers.points, each, 3) for each in truth]
    sum(DetectionLoss(power=0.2)(net, answers, targets)).backward()  # type: ignore[union-attr]
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_attention_in_blocks_is_attention_within_the_window():
    net = build(ActionFormer, window=5).eval()
    attention = net.stem[0].attention  # type: ignore[union-attr, index]
    q, k, v = torch.randn(3, 1, 4, 11, 4)
    mask = torch.arange(11)[None] < 8
    found = attention._nearby(q, k, v, mask)
    near = (torch.arange(11)[:, None] - torch.arange(11)).abs() <= 2
    scores = q @ k.transpose(2, 3) / 2 + torch.where(mask, 0.0, -1e4)[:, None, None]
    wanted = scores.masked_fill(~near, -torch.inf).softmax(-1) @ v
    torch.testing.assert_close(found, wanted * mask[:, None, :, None])


def test_the_shortest_action_counts_and_equal_ones_give_all_their_labels():
    points = Points.of([8, 4], ((0, 4), (4, 100)), torch.device("cpu"))
    truth = Truth(torch.tensor([[2.0, 5.0], [2.0, 5.0], [0.0, 7.9]]), torch.tensor([0, 2, 1]))
    targets = targets_of(points, truth, 3)
    assert targets.classes[3].tolist() == [1, 0, 1]
    assert targets.distances[3].tolist() == [1, 2]
    assert targets.classes[10].tolist() == [0, 1, 0]  # the coarse level, at 4
    assert targets.distances[10].tolist() == pytest.approx([2, 1.95])
    assert not targets.positive[0]
    nothing = targets_of(points, Truth(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)), 3)
    assert not nothing.positive.any()


def test_losses_by_hand():
    p = torch.tensor(0.5).sigmoid()
    focal = sigmoid_focal(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]))
    wanted = [-0.25 * (1 - p) ** 2 * p.log(), -0.75 * p**2 * (1 - p).log()]
    torch.testing.assert_close(focal, torch.stack(wanted))
    # [-1, 3] and [-2, 2]: 3 of 5 shared, middles 1 apart in 5 together
    loss = diou(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0]))
    assert float(loss) == pytest.approx(1 - 3 / 5 + (1 / 5) ** 2)


def test_detections_are_in_seconds_of_the_video():
    points = Points.of([4], ((0, 100),), torch.device("cpu"))
    logits = torch.tensor([[[-9.0], [-9.0], [2.0], [-9.0]]])
    offsets = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [1.0, 9.0], [0.0, 0.0]]])
    answers = Answers(logits, offsets, torch.ones(1, 4, dtype=torch.bool), [4], points)
    net = TemporalMaxer(6, 1, 16, 1)
    found = segments_of(net, answers, Decoding(least_score=0.5))
    np.testing.assert_allclose(found[0], [[1.0, 11.0]])
    features = VideoFeatures(np.ones((4, 6), np.float32), 0.5 + 0.25 * np.arange(4), 1.0, 0.25, 2.0, "here")
    (detection,) = detections(features, *found, names=("jump",), video="clip")
    assert (detection.start_s, detection.end_s) == (0.75, 2.0)  # cut to the video
    assert detection.score == pytest.approx(float(torch.tensor(2.0).sigmoid()))
    with pytest.raises(ValueError, match="one by one"):
        segments_of(net, Answers(logits.repeat(2, 1, 1), offsets, answers.mask, [4], points), Decoding())
