"""What explanations cost: Grad-CAM in forward passes, occlusion in batches or one by one, RISE by the clock.

    python -m benchmarks.explain [--rounds 9] [--masks 1000]

Untrained networks on one clip of noise of the card's own input, in fp32 as they are explained. What is
compared runs in turn, and ratios are those of each round, of which the table has the median.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.record import Row, command_line, finish, goal, significant
from kinesphere.core.device import cpu_count
from kinesphere.explain.method import METHODS, Settings
from kinesphere.explain.target import Scored, Target
from kinesphere.models import create_model
from kinesphere.models.runtime.measure import input_shape

COMPACT = "kine_small"
MODELS = (COMPACT, "r3d_18", "videomae_s")
MOST_FORWARDS, LEAST_FASTER, MOST_RISE_S = 4.0, 3.0, 60.0
LABELS = tuple(map(str, range(10)))

Work = Callable[[], object]


def seconds(work: Work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def in_turn(works: Mapping[str, Work], rounds: int) -> list[dict[str, float]]:
    """Seconds of each, round by round; the first round warms up and is left out."""
    return [{name: seconds(work) for name, work in works.items()} for _ in range(rounds + 1)][1:]


def example(model: str) -> tuple[Scored, tuple[Tensor, ...]]:
    """A network with a clip for each of its inputs."""
    torch.manual_seed(0)
    recogniser = create_model(model, LABELS)
    inputs = tuple(torch.randn(input_shape(spec, batch=1)) for spec in recogniser.specs)
    return Scored(recogniser, Target(0)), inputs


def explained(method: str, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings) -> Work:
    return lambda: METHODS.get(method).heat(scored, inputs, settings)


def row(model: str, what: str, than: str, rounds: Sequence[Mapping[str, float]]) -> Row:
    """The second work of each round over the first."""
    ratios = sorted(b / a for a, b in (each.values() for each in rounds))
    times = [statistics.median(column) for column in zip(*(each.values() for each in rounds), strict=True)]
    return {
        "model": model,
        "what": what,
        "than": than,
        "ms of the first": significant(1e3 * times[1]),
        "ms of the second": significant(1e3 * times[0]),
        "ratio, median": significant(statistics.median(ratios)),
        "from": significant(ratios[0]),
        "to": significant(ratios[-1]),
    }


def cost_of_gradcam(model: str, rounds: int) -> Row:
    scored, inputs = example(model)

    @torch.inference_mode()
    def forward() -> None:
        scored(*inputs)

    works = {"forward": forward, "gradcam": explained("gradcam", scored, inputs, Settings())}
    return row(model, "Grad-CAM", "a forward pass", in_turn(works, rounds))


def gain_of_batches(model: str, rounds: int, settings: Settings) -> Row:
    scored, inputs = example(model)
    works = {
        "batched": explained("occlusion", scored, inputs, settings),
        "single": explained("occlusion", scored, inputs, replace(settings, batch=1)),
    }
    return row(model, "occlusion one by one", f"occlusion by {settings.batch}", in_turn(works, rounds))


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--masks", type=int, default=1000)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    args = parser.parse_args()
    torch.set_num_threads(cpu_count())
    rows = [cost_of_gradcam(model, args.rounds) for model in args.models]
    settings = Settings()
    rows.append(gain_of_batches(COMPACT, 2 * args.rounds, settings))
    scored, inputs = example(COMPACT)
    rise_s = seconds(explained("rise", scored, inputs, replace(settings, masks=args.masks)))
    goals = [
        goal(f"Grad-CAM of {each['model']} in forward passes", float(each["ratio, median"]), MOST_FORWARDS,
             at_most=True)
        for each in rows[:-1]
    ]  # fmt: skip
    goals += [
        goal(f"occlusion of {COMPACT} in batches, times faster than one by one",
             float(rows[-1]["ratio, median"]), LEAST_FASTER),
        goal(f"RISE with {args.masks} masks on {COMPACT}", rise_s, MOST_RISE_S, " s", at_most=True),
    ]  # fmt: skip
    finish("explain", "What explanations cost", parser, args, rows, goals)


if __name__ == "__main__":
    main()
