"""What a round of federated training costs: edgesim beside a plain torch loop, pfl and Flower.

    python benchmarks/federated_training.py [--json] [--rounds N] [--executors]

The same cohorts, model, data, batches and learning rate for all; milliseconds per round (median after
two to warm up, rounds of the contestants in turn; Flower's rounds cannot wait, and come last) and ratios
to the plain loop, all in one run and on one thread. The others are optional (``pip install pfl==0.6.0
"flwr[simulation]"``); one that is not installed is left out, and that is said. ``--executors`` compares
loop and stacked weights over shapes, from which the rule in ``edgesim.learning.training`` is written.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from federated_peers import flower, pfl
from torch import nn

from edgesim.learning.aggregation import FedAvg
from edgesim.learning.data import Dataset, Samples
from edgesim.learning.models import build_model
from edgesim.learning.tasks import Layout, LocalProgram, Task, as_tensors, schedule
from edgesim.learning.training import train

SAMPLES = 60
PROGRAM = LocalProgram(0.05, 10)
CASES: dict[str, tuple[str, dict[str, object], int]] = {
    "MLP 25k, 10 clients": ("mlp", {"hidden": [32]}, 10),
    "MLP 25k, 100 clients": ("mlp", {"hidden": [32]}, 100),
    "2NN 199k, 10 clients": ("mlp", {"hidden": [200, 200]}, 10),
    "CNN 54k, 10 clients": ("cnn", {"channels": [8, 16], "dense": 64}, 10),
}


def pictures(clients: int) -> Dataset:
    """Pictures of 28 x 28, two classes per client, a fixed pattern per class under noise."""
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 10, 2 * clients), SAMPLES // 2)
    patterns = rng.random((10, 1, 28, 28))
    inputs = (0.5 * patterns[labels] + 0.5 * rng.random((len(labels), 1, 28, 28))).astype(
        np.float32
    )
    samples = Samples(inputs, labels)
    return Dataset("patterns", samples, samples, tuple(map(str, range(10))))


class Contest:
    """One case: what all contestants share."""

    def __init__(self, model: str, parameters: dict[str, object], clients: int) -> None:
        self.dataset = pictures(clients)
        self.module = build_model(model, self.dataset, 0, parameters)
        self.layout = Layout(self.module)
        self.data = as_tensors(self.dataset.train)
        self.clients = clients
        self.rows = np.arange(len(self.dataset.train)).reshape(clients, SAMPLES)
        self.start = self.layout.read()

    def tasks(self, number: int, weights: torch.Tensor) -> list[Task]:
        """Of a round; the same for everybody."""
        return [
            Task(c, rows, PROGRAM, weights, np.random.default_rng([number, c]))
            for c, rows in enumerate(self.rows)
        ]

    def edgesim(self) -> Callable[[int], torch.Tensor]:
        """As edgesim does it."""
        weights = self.start

        def one_round(number: int) -> torch.Tensor:
            nonlocal weights
            updates = train(self.layout, self.data, self.tasks(number, weights))
            weights = FedAvg().aggregate(weights, updates)
            return weights

        return one_round

    def loop(self) -> Callable[[int], torch.Tensor]:
        """As one writes it down: a copy of the model and an optimiser per client."""
        model = copy.deepcopy(self.module)

        def one_round(number: int) -> torch.Tensor:
            total = [torch.zeros_like(p) for p in model.parameters()]
            for task in self.tasks(number, self.start):
                own = copy.deepcopy(model)
                own.train()
                optimiser = torch.optim.SGD(own.parameters(), lr=PROGRAM.learning_rate)
                for batch in schedule(task):
                    rows = torch.from_numpy(batch)
                    optimiser.zero_grad()
                    output = own(self.data.inputs[rows])
                    loss = nn.functional.cross_entropy(output, self.data.labels[rows])
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimiser.step()
                with torch.no_grad():
                    for sum_, p in zip(total, own.parameters(), strict=True):
                        sum_ += p / self.clients
            with torch.no_grad():
                for p, mean in zip(model.parameters(), total, strict=True):
                    p.copy_(mean)
            return Layout(model).read()

        return one_round


def measure(rounds: int) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Median milliseconds per round, by case and contestant, and who could not take part."""
    table: dict[str, dict[str, float]] = {}
    absent: list[str] = []
    for name, (model, parameters, clients) in CASES.items():
        contest = Contest(model, parameters, clients)
        contestants = {"edgesim": contest.edgesim(), "loop": contest.loop()}
        try:
            contestants["pfl"] = pfl(contest.module, contest.data, contest.rows, PROGRAM)
        except ImportError as error:
            absent.append(f"pfl: {error}")
        times: dict[str, list[float]] = {each: [] for each in contestants}
        found: dict[str, torch.Tensor] = {}
        for number in range(rounds + 2):
            for each, one_round in contestants.items():
                began = time.perf_counter()
                found[each] = one_round(number)
                times[each].append(time.perf_counter() - began)
            difference = float((found["edgesim"] - found["loop"]).abs().max())
            if number == 0 and difference > 1e-6:
                raise SystemExit(f"{name}: edgesim and the loop differ by {difference:g}")
        seconds = {each: several[2:] for each, several in times.items()}
        try:
            seconds["Flower"] = flower(
                contest.module, contest.data, contest.rows, PROGRAM, min(rounds, 5)
            )
        except ImportError as error:
            absent.append(f"Flower: {error}")
        table[name] = {each: 1e3 * statistics.median(some) for each, some in seconds.items()}
    return table, sorted(set(absent))


def executors() -> list[dict[str, float | str]]:
    """Loop and stacked weights over shapes."""
    rows: list[dict[str, float | str]] = []
    for hidden in ([], [32], [64], [128], [200, 200]):
        for clients in (1, 2, 5, 10, 50, 100):
            contest = Contest("mlp", {"hidden": hidden}, clients)
            times: dict[str, float] = {}
            for how in ("loop", "stacked"):
                several = []
                for number in range(5):
                    tasks = contest.tasks(number, contest.start)
                    began = time.perf_counter()
                    train(contest.layout, contest.data, tasks, how)
                    several.append(time.perf_counter() - began)
                times[how] = 1e3 * min(several)
            rows.append(
                {
                    "parameters": contest.layout.size,
                    "clients": clients,
                    **times,
                    "ratio": times["stacked"] / times["loop"],
                }
            )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--executors", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    machine = f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 1 thread"
    if given.executors:
        for row in executors():
            print(
                " ".join(
                    f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()
                )
            )
        return 0
    table, absent = measure(given.rounds)
    if given.json:
        print(json.dumps({"machine": machine, "ms_per_round": table, "absent": absent}, indent=2))
        return 0
    print(f"ms per round, median of {given.rounds} ({machine}); in brackets times the loop\n")
    for name, times in table.items():
        cells = (f"{each} {ms:8.2f} ({ms / times['loop']:.2f})" for each, ms in times.items())
        print(f"{name:24s}", "  ".join(cells))
    for each in absent:
        print(f"not measured: {each}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
