"""DD-Net: distances between joints and their motion at two speeds, in a small convolution over time.

Yang, Wu, Sakti, Nakamura: "Make Skeleton-based Action Recognition Model Smaller, Faster and Better",
ACM MM Asia 2019, https://arxiv.org/abs/1907.09658, sections 3.1 to 3.3 and figure 2. Distances tell neither
where a body is nor how it is turned; motion does, slow and fast.

Ours beside it: everything is measured in body sizes; joints that were not seen are filled in from the
frames around; the pose about its own middle is a fourth stream; several people share the network and the
strongest answer of any counts, and, if asked for, the distances between them are a stream too.

B batch, T time, P people, N persons of all samples, J joints, D dimensions, C channels, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from kinesphere.clips.skeleton import SKELETONS
from kinesphere.clips.spec import Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import POSE_INPUTS, dimensions_of, fit_pose
from kinesphere.models.family import Family
from kinesphere.models.papers import cite


@fx.wrap  # type: ignore[misc, unused-ignore]
def filled(points_BTPJD: Tensor, seen_BTPJ: Tensor) -> Tensor:
    """Joints that were not seen on the line between the frames where they were; at the ends they rest.

    Joints that were never seen lie in the middle of those of the same frame that were.
    """
    T = points_BTPJD.shape[1]
    time = torch.arange(T, device=points_BTPJD.device).view(1, T, 1, 1)
    before = torch.where(seen_BTPJ, time, -1).cummax(1).values
    after = torch.where(seen_BTPJ, time, T).flip(1).cummin(1).values.flip(1)
    first, last = torch.where(before < 0, after, before), torch.where(after >= T, before, after)
    ever = seen_BTPJ.any(1, keepdim=True)
    at = [t.clamp(0, T - 1)[..., None].expand_as(points_BTPJD) for t in (first, last)]
    start, end = (points_BTPJD.gather(1, t) for t in at)
    share = ((time - first) / (last - first).clamp(min=1)).clamp(0, 1)
    line = start + (end - start) * share[..., None]
    weight = ever[..., None].to(line.dtype)
    middle = (line * weight).sum(3, keepdim=True) / weight.sum(3, keepdim=True).clamp(min=1)
    return torch.where(ever[..., None], line, middle)


class Convolution(nn.Sequential):
    """Convolution over time, batch norm, leaky ReLU: `(N, C, T)`."""

    def __init__(self, inputs: int, outputs: int, length: int) -> None:
        super().__init__(
            nn.Conv1d(inputs, outputs, length, padding=length // 2, bias=False),
            nn.BatchNorm1d(outputs),
            nn.LeakyReLU(0.2, inplace=True),
        )


def embedding(inputs: int, width: int, *, halve: bool) -> nn.Sequential:
    """From one stream to `width` channels, at half the frames if they are not halved already."""
    layers: list[nn.Module] = []
    for before, after, length in ((inputs, 2 * width, 1), (2 * width, width, 3), (width, width, 1)):
        layers += [Convolution(before, after, length), nn.Dropout1d(0.1)]
    return nn.Sequential(*layers, *([nn.MaxPool1d(2, ceil_mode=True)] if halve else []))


class DDNet(nn.Module):
    """Streams, one embedding each, three stages over time, the maximum over time and people, classifier.

    Args:
        num_classes: Number of outputs K.
        skeleton: Name of the skeleton.
        dimensions: 2 in the image plane, 3 in space, None as the skeleton is usually recorded.
        width: Channels of an embedding; the paper's sizes are 64, 32 and 16.
        pose: Whether the pose about its middle is a stream.
        between: Whether the distances to the joints of the nearest other person are a stream.
        dropout: Before the classifier, after each of two hidden layers.
    """

    HIDDEN = 128
    pairs: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        skeleton: str = "coco17",
        dimensions: int | None = None,
        width: int = 32,
        pose: bool = True,
        between: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        joints = len(SKELETONS.get(skeleton))
        self.dimensions = dimensions_of(skeleton, dimensions)
        flat = joints * self.dimensions
        pairs = torch.triu_indices(joints, joints, 1)
        self.register_buffer("pairs", pairs[0] * joints + pairs[1], persistent=False)
        self.distances = embedding(joints * (joints - 1) // 2, width, halve=True)
        self.slow = embedding(flat, width, halve=True)
        self.fast = embedding(flat, width, halve=False)
        self.pose = embedding(flat, width, halve=True) if pose else None
        self.between = embedding(joints * joints, width, halve=True) if between else None
        inputs = width * (3 + pose + between)
        stages = []
        for i, factor in enumerate((2, 4, 8)):
            outputs = factor * width
            pool = [] if i == 0 else [nn.MaxPool1d(2, ceil_mode=True)]
            stages.append(
                nn.Sequential(
                    *pool,
                    Convolution(inputs, outputs, 3),
                    Convolution(outputs, outputs, 3),
                    nn.Dropout1d(0.1),
                )
            )
            inputs = outputs
        self.layer1, self.layer2, self.layer3 = stages
        hidden = []
        for size in (inputs, self.HIDDEN):
            hidden += [
                nn.Linear(size, self.HIDDEN, bias=False),
                nn.BatchNorm1d(self.HIDDEN),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Dropout(dropout),
            ]
        self.hidden = nn.Sequential(*hidden)
        self.fc = nn.Linear(self.HIDDEN, num_classes)

    def forward(self, x_BTPJC: Tensor) -> Tensor:
        B, P = x_BTPJC.shape[0], x_BTPJC.shape[2]
        seen_BTPJ = x_BTPJC[..., -1] > 0
        points = filled(x_BTPJC[..., : self.dimensions], seen_BTPJ)
        present_BP = seen_BTPJ.any(3).any(1)
        apart_BTPJJ = torch.cdist(points, points)
        # A body's size is the mean distance between its joints, over the clip.
        size_BP = apart_BTPJJ.mean((1, 3, 4))
        unit = torch.where(size_BP > 1e-6, size_BP, 1.0)[:, None, :, None, None]
        middle = points.mean((1, 3), keepdim=True)
        body = (points - middle) / unit

        x = [
            self.distances(_persons((apart_BTPJJ / unit).flatten(3)[..., self.pairs])),
            self.slow(_persons(_steps(body).flatten(3))),
            self.fast(_persons(_steps(body[:, ::2]).flatten(3))),
        ]
        if self.pose is not None:
            x.append(self.pose(_persons(body.flatten(3))))
        if self.between is not None:
            x.append(self.between(_persons(_between(points, present_BP) / unit.flatten(3))))
        out = self.layer3(self.layer2(self.layer1(torch.cat(x, 1)))).amax(2)
        persons_BPC = out.unflatten(0, (B, P)).masked_fill(~present_BP[..., None], -torch.inf)
        anyone = present_BP.any(1, keepdim=True)
        features_BC = torch.where(anyone, persons_BPC.amax(1), 0.0)
        logits_BK: Tensor = self.fc(self.hidden(features_BC))
        return logits_BK


def _persons(x_BTPC: Tensor) -> Tensor:
    """`(N, C, T)` with the people of all samples beside each other."""
    return x_BTPC.permute(0, 2, 3, 1).flatten(0, 1)


def _steps(x: Tensor) -> Tensor:
    """The next frame minus this one, as many as frames; the last stands still."""
    return torch.cat([x[:, 1:] - x[:, :-1], torch.zeros_like(x[:, :1])], 1)


@fx.wrap  # type: ignore[misc, unused-ignore]
def _between(points_BTPJD: Tensor, present_BP: Tensor) -> Tensor:
    """Distances `(B, T, P, J J)` from each joint to each of the nearest other person; 0 without one."""
    P, J = points_BTPJD.shape[2:4]
    everyone = points_BTPJD.flatten(2, 3)
    apart = torch.cdist(everyone, everyone).unflatten(3, (P, J)).unflatten(2, (P, J))  # B T P J Q J
    itself = torch.eye(P, dtype=torch.bool, device=points_BTPJD.device)
    nobody_BPQ = itself | ~present_BP[:, None] | ~present_BP[:, :, None]
    apart = apart.masked_fill(nobody_BPQ[:, None, :, None, :, None], torch.inf).amin(4)
    return torch.where(apart.isinf(), 0.0, apart).flatten(3)


SPEC = POSE_INPUTS[0].with_(sampling=Sampling("uniform", 32), resize="letterbox", people=1)
STAGES = ("distances", "slow", "fast", "pose", "layer1", "layer2", "layer3", "hidden")
DD_NET = Family(
    name="dd_net",
    paper=cite("1907.09658", "3.1–3.3"),
    network=DDNet,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("uniform", 8), people=2),),
    stages=STAGES,
    cam_layers=(CamLayer("layer3", "BM C T"),),
    explanation="integrated_gradients",
    classes=60,
    fit=fit_pose,
    notes="No public weights are compatible; checked by the paper's properties: the answer changes with "
    "neither place nor size of a body. The paper has no pose stream (`pose=False`) and no scaling.",
)


@DD_NET.model("Distances between joints and two speeds of motion: trains in minutes on a laptop.")
def dd_net(num_classes: int) -> DDNet:
    return DD_NET.build(num_classes)


@DD_NET.model("dd_net for tests.", tiny=True)
def dd_net_tiny(num_classes: int) -> DDNet:
    return DD_NET.build(num_classes, width=4)


@DD_NET.model(
    "dd_net with distances between people, for tests.",
    stages=(*STAGES[:4], "between", *STAGES[4:]),
    tiny=True,
)
def dd_net_people_tiny(num_classes: int) -> DDNet:
    return DD_NET.build(num_classes, width=4, between=True)
