"""Controllers by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

from edgesim.controllers.slots import Setting
from edgesim.core.documents import Schema
from edgesim.core.errors import EdgesimError, did_you_mean

__all__ = [
    "CONTROLLERS",
    "FEDERATED_SLOTS",
    "SLOTS",
    "Entry",
    "controller_class",
    "entry_of",
    "make_controller",
    "names_in",
    "parameters_of",
    "unknown_controller",
]


class Entry(NamedTuple):
    """Where a controller's class is, and what it does in one line.

    Attributes:
        slot: the slot that it can sit in.
        path: ``package.module:Class``.
        summary: what it does.
        settings: parameters in which it differs from its class's defaults.
    """

    slot: str
    path: str
    summary: str
    settings: Mapping[str, Any] = MappingProxyType({})


def _entry(slot: str, path: str, summary: str, **settings: Any) -> Entry:
    return Entry(slot, f"edgesim.controllers.{path}", summary, MappingProxyType(settings))


CONTROLLERS: Mapping[str, Entry] = MappingProxyType(
    {
        "edge_cpu": _entry("offloading", "offloading:EdgeCpu", "the phone's CPU in FP32"),
        "edge_best": _entry(
            "offloading",
            "offloading:EdgeBest",
            "the phone's processor of least promised energy that should be in time",
        ),
        "cloud": _entry(
            "offloading",
            "offloading:Cloud",
            "a site's fastest processor; without a connection as edge_best",
        ),
        "connected_edge": _entry(
            "offloading",
            "offloading:ConnectedEdge",
            "the fastest processor of a phone nearby (Wi-Fi Direct); without one as edge_best",
        ),
        "random": _entry("offloading", "offloading:Random", "any possible target"),
        "autoscale": _entry(
            "offloading",
            "autoscale:AutoScale",
            "AutoScale (MICRO 2020): Q-learning over binned conditions, misses penalised",
        ),
        "autoscale_paper": _entry(
            "offloading",
            "autoscale:AutoScale",
            "AutoScale with the reward as recalled from the paper, which hardly minds misses",
            reward="recalled",
        ),
        "linucb": _entry(
            "offloading",
            "linucb:LinUcb",
            "LinUCB (WWW 2010): one linear model of the reward per target, with optimism",
        ),
        "linear_regression": _entry(
            "offloading",
            "predictors:LinearRegression",
            "predicts latency and energy by least squares, then takes the best",
        ),
        "svr": _entry(
            "offloading",
            "predictors:SupportVectors",
            "predicts latency and energy by support vectors, then takes the best",
        ),
        "knn": _entry(
            "offloading",
            "predictors:KNearest",
            "predicts latency and energy by nearest neighbours, then takes the best",
        ),
        "oracle": _entry(
            "offloading",
            "offloading:Oracle",
            "least energy in time, knowing the signal to come (myopic bound)",
        ),
        "selection.random": _entry(
            "selection", "selection:RandomSelection", "any clients: FedAvg's"
        ),
        "round_robin": _entry("selection", "selection:RoundRobin", "everybody in turn"),
        "power": _entry(
            "selection", "selection:Power", "clients whose processors draw least (AutoFL's Power)"
        ),
        "performance": _entry(
            "selection",
            "selection:Performance",
            "clients whose processors are fastest (AutoFL's Performance)",
        ),
        "fixed_mix": _entry(
            "selection", "selection:FixedMix", "so many of each tier: AutoFL's clusters C1 to C7"
        ),
        "oort": _entry(
            "selection", "selection:Oort", "Oort (OSDI 2021): high loss, in time, with exploration"
        ),
        "fedl": _entry(
            "selection",
            "selection:Fedl",
            "FEDL (INFOCOM 2019): any clients, clocks that balance energy and time",
        ),
        "oracle_participants": _entry(
            "selection",
            "oracle:Oracle",
            "balanced labels first, then least energy, knowing the weather to come (bound)",
            chooses_targets=False,
        ),
        "oracle_fl": _entry("selection", "oracle:Oracle", "the same, and the best targets (bound)"),
        "autofl": _entry(
            "selection",
            "autofl:AutoFL",
            "AutoFL (MICRO 2021): Q-learning, tables per tier, stragglers masked",
        ),
        "autofl_paper": _entry(
            "selection",
            "autofl:AutoFL",
            "AutoFL as printed: a table per device, no mask, exploring for ever",
            tables="per_device",
            masks_late=False,
            credit="each",
            tie_width=0.0,
            lost=0.0,
            explore_rounds=None,
        ),
        "fixed": _entry("parameters", "rounds:FixedParameters", "B, E and K as the job has them"),
        "fedgpo": _entry(
            "parameters",
            "fedgpo:FedGPO",
            "FedGPO (IISWC 2022): Q-learning of B and E per client, K per round; progress at its price",
        ),
        "fedgpo_paper": _entry(
            "parameters",
            "fedgpo:FedGPO",
            "FedGPO as recalled: accuracy credited to everyone, no mask, exploring for ever",
            credit="each",
            masks_late=False,
            explore_rounds=None,
            trial_rounds=0,
        ),
        "fixed_best": _entry(
            "parameters",
            "searches:FixedBest",
            "the best fixed B, E and K: a grid of whole earlier jobs",
        ),
        "bayesian": _entry(
            "parameters", "searches:Search", "Bayesian optimisation of B, E and K (Optuna's TPE)"
        ),
        "genetic": _entry(
            "parameters",
            "searches:Search",
            "a genetic algorithm for B, E and K (Optuna's NSGA-II)",
            optimiser="genetic",
        ),
        "adaptive_batch": _entry(
            "parameters",
            "searches:AdaptiveBatch",
            "the smallest batch size that is in time with the median client",
        ),
        "sgd": _entry("local_training", "rounds:Sgd", "stochastic gradient descent"),
        "fedprox": _entry(
            "local_training", "rounds:FedProx", "FedProx (MLSys 2020): a proximal term"
        ),
        "scaffold": _entry(
            "local_training", "rounds:Scaffold", "SCAFFOLD (ICML 2020): control variates"
        ),
        "heteroswitch": _entry(
            "local_training",
            "heteroswitch:HeteroSwitch",
            "HeteroSwitch (MLSys 2024): clients of low loss jitter pictures and average weights",
        ),
        "heteroswitch_initial": _entry(
            "local_training",
            "heteroswitch:HeteroSwitch",
            "HeteroSwitch whose running mean is of initial losses, as those compared with it",
            criterion="initial_loss",
        ),
        "isp_transform": _entry(
            "local_training",
            "heteroswitch:IspTransform",
            "everybody jitters pictures: random white balance and gamma",
        ),
        "isp_transform_swad": _entry(
            "local_training",
            "heteroswitch:IspTransform",
            "everybody jitters pictures and averages weights after each step",
            averages=True,
        ),
        "random_switch": _entry(
            "local_training",
            "heteroswitch:RandomSwitch",
            "HeteroSwitch's switches thrown by chance, at given rates",
        ),
        "fedavg": _entry("aggregation", "aggregation:FedAvg", "the mean of the updates"),
        "fednova": _entry(
            "aggregation", "aggregation:FedNova", "FedNova (NeurIPS 2020): normalised by steps"
        ),
        "qfedavg": _entry(
            "aggregation", "aggregation:QFedAvg", "q-FedAvg (ICLR 2020): high losses pull harder"
        ),
        "fedadam": _entry("aggregation", "aggregation:FedAdam", "Adam at the server (ICLR 2021)"),
        "fedyogi": _entry("aggregation", "aggregation:FedYogi", "Yogi at the server (ICLR 2021)"),
        "fedbuff": _entry(
            "aggregation", "aggregation:FedBuff", "asynchronous, buffered (AISTATS 2022)"
        ),
        "fedasync": _entry(
            "aggregation", "aggregation:FedAsync", "asynchronous, update by update (2019)"
        ),
    }
)
"""The controllers that ship with edgesim, by name. Modules are imported when first used.

A name that exists in two slots is ``SLOT.NAME`` here; in its slot, ``NAME`` will do.
"""

FEDERATED_SLOTS: Mapping[str, str] = MappingProxyType(
    {
        "selection": "random",
        "parameters": "fixed",
        "local_training": "sgd",
        "aggregation": "fedavg",
    }
)
"""The slots of federated jobs, and who sits there if nobody is named."""

SLOTS = ("offloading", *FEDERATED_SLOTS)
"""The slots there are."""


def entry_of(name: str, slot: str) -> Entry | None:
    """The entry called ``name`` in a slot; ``None`` if there is none."""
    found = CONTROLLERS.get(f"{slot}.{name}", CONTROLLERS.get(name))
    return found if found is not None and found.slot == slot else None


def names_in(slot: str) -> list[str]:
    """The names of the controllers for a slot."""
    return [
        key.removeprefix(f"{slot}.") for key, entry in CONTROLLERS.items() if entry.slot == slot
    ]


def controller_class(name: str, slot: str) -> type:
    """The class of the controller called ``name``, or of ``package.module:Class``.

    Raises:
        EdgesimError: if there is none for that slot, or it cannot be imported.
    """
    entry = entry_of(name, slot)
    path = name if entry is None else entry.path
    if ":" not in path:
        raise EdgesimError(unknown_controller(name, slot))
    module_name, _, class_name = path.partition(":")
    try:
        found = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise EdgesimError(f"controller {name!r} cannot be imported: {error}") from error
    if not isinstance(found, type):
        raise EdgesimError(f"controller {name!r} is not a class")
    return found


def parameters_of(kind: type) -> type[Schema] | None:
    """The schema of a controller's parameters: its class attribute ``Parameters``, if it has any."""
    found = getattr(kind, "Parameters", None)
    return found if isinstance(found, type) and issubclass(found, Schema) else None


def make_controller(name: str, setting: Setting) -> Any:
    """Make the controller called ``name``.

    Its parameters are those of the setting; if that has none, its own defaults.

    Raises:
        EdgesimError: if there is none for that slot.
    """
    kind = controller_class(name, setting.slot)
    return kind(setting)


def unknown_controller(name: str, slot: str) -> str:
    """What to tell a user who named a controller that the slot does not have."""
    hint = did_you_mean(name, names_in(slot))
    return f"there is no controller {name!r} for slot {slot!r}; {hint}"
