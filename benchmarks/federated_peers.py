"""How pfl and Flower train a cohort: contestants of ``federated_training.py``, each with its own package.

Written as their documentation does it, with as little besides as possible. Both are optional.
"""

from __future__ import annotations

import copy
import logging
import os
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from edgesim.learning.tasks import Layout, LocalProgram, Tensors

__all__ = ["flower", "pfl"]


class _WithLoss(nn.Module):
    """A model as pfl wants it: it knows its loss."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.inner(inputs)
        return found

    def loss(self, inputs: torch.Tensor, labels: torch.Tensor, **_: Any) -> torch.Tensor:
        return cross_entropy(self(inputs), labels)

    def metrics(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, object]:
        return {}


def pfl(
    module: nn.Module, data: Tensors, rows: np.ndarray[Any, Any], program: LocalProgram
) -> Callable[[int], torch.Tensor]:
    """A function that does one more round, and gives the weights after it.

    Args:
        module: the model to begin with.
        data: of all clients.
        rows: shape ``(clients, samples)``: who has which.
        program: what each client does.

    Raises:
        ImportError: where pfl is not installed.
    """
    from pfl.aggregate.simulate import SimulatedBackend
    from pfl.algorithm.base import NNAlgorithmParams
    from pfl.algorithm.federated_averaging import FederatedAveraging
    from pfl.data.dataset import Dataset
    from pfl.data.federated_dataset import FederatedDataset
    from pfl.data.sampling import get_user_sampler
    from pfl.hyperparam.base import NNEvalHyperParams, NNTrainHyperParams
    from pfl.internal.ops import pytorch_ops
    from pfl.internal.ops.selector import set_framework_module
    from pfl.model.pytorch import PyTorchModel

    set_framework_module(pytorch_ops)
    own = _WithLoss(copy.deepcopy(module))
    central = torch.optim.SGD(own.parameters(), 1.0)
    state = PyTorchModel(own, local_optimizer_create=torch.optim.SGD, central_optimizer=central)

    def user(client: int) -> object:
        return Dataset((data.inputs[rows[client]], data.labels[rows[client]]))

    sampler = get_user_sampler("minimize_reuse", list(range(len(rows))))
    backend = SimulatedBackend(training_data=FederatedDataset(user, sampler), val_data=None)
    many = 10**6
    params = NNAlgorithmParams(many, many * many, len(rows), None)
    training = NNTrainHyperParams(
        local_num_epochs=program.epochs,
        local_learning_rate=program.learning_rate,
        local_batch_size=program.batch_size,
    )
    algorithm = FederatedAveraging()

    def one_round(number: int) -> torch.Tensor:
        nonlocal state
        contexts, state, _ = algorithm.get_next_central_contexts(
            state, number, params, training, NNEvalHyperParams(None)
        )
        context = next(c for c in contexts if c.population.name == "TRAIN")
        sums, metrics = backend.gather_results(
            model=state, training_algorithm=algorithm, central_context=context
        )
        state, _ = algorithm.process_aggregated_statistics(context, metrics, state, sums)
        return Layout(own.inner).read()

    return one_round


def flower(
    module: nn.Module,
    data: Tensors,
    rows: np.ndarray[Any, Any],
    program: LocalProgram,
    rounds: int,
) -> list[float]:
    """Seconds of each round, after the first, in a run of Flower's simulation (Ray, one worker).

    Flower runs all rounds itself, so they cannot take turns with the others'. A round is the time from
    one server-side call of ``evaluate_fn``, which does nothing, to the next.

    Args:
        module: the model to begin with.
        data: of all clients.
        rows: shape ``(clients, samples)``: who has which.
        program: what each client does.
        rounds: how many to measure.

    Raises:
        ImportError: where Flower is not installed.
    """
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation

    inputs = [data.inputs[each].numpy() for each in rows]
    labels = [data.labels[each].numpy() for each in rows]
    client_app, server_app = ClientApp(), ServerApp()
    ends: list[float] = []

    @client_app.train()  # type: ignore[untyped-decorator, unused-ignore]
    def train(message: Any, context: Any) -> Any:
        torch.set_num_threads(1)
        own = copy.deepcopy(module)
        own.load_state_dict(message.content["arrays"].to_torch_state_dict())
        optimiser = torch.optim.SGD(own.parameters(), lr=program.learning_rate)
        client = int(context.node_config["partition-id"])
        x, y = torch.from_numpy(inputs[client].copy()), torch.from_numpy(labels[client].copy())
        for _ in range(program.epochs):
            order = torch.randperm(len(y))
            for some in torch.split(order, program.batch_size):
                optimiser.zero_grad()
                cross_entropy(own(x[some]), y[some]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        content = {
            "arrays": ArrayRecord(own.state_dict()),
            "metrics": MetricRecord({"num-examples": len(y)}),
        }
        return Message(content=RecordDict(content), reply_to=message)

    @server_app.main()  # type: ignore[untyped-decorator, unused-ignore]
    def main(grid: Any, context: Any) -> None:
        strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0, min_available_nodes=len(rows))
        strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord(module.state_dict()),
            num_rounds=rounds + 1,
            evaluate_fn=lambda number, arrays: ends.append(time.perf_counter()),
        )

    logging.disable(logging.WARNING)
    config = {"init_args": {"num_cpus": 1}, "client_resources": {"num_cpus": 1}}
    try:
        with (
            warnings.catch_warnings(),
            open(os.devnull, "w") as nowhere,  # noqa: PTH123
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
        ):
            warnings.simplefilter("ignore")
            run_simulation(server_app, client_app, len(rows), backend_config=config)
    finally:
        logging.disable(logging.NOTSET)
    if len(ends) != rounds + 2:
        raise RuntimeError(f"Flower did {len(ends) - 1} rounds of {rounds + 1}")
    between = np.diff(ends)
    return [float(each) for each in between[1:]]
