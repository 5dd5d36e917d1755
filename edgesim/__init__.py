"""A discrete-event edge-cloud simulator in which every joule is booked.

What happens to energy, time and accuracy when these phones, links and servers run these jobs under
this controller, in this weather?

>>> import edgesim
>>> result = edgesim.run("quickstart", controllers={"offloading": "edge_best"})  # doctest: +SKIP
>>> result.requests.groupby("model").energy_j.mean()  # doctest: +SKIP

The names below are loaded when they are first used, so that ``import edgesim`` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import edgesim.results.plots as plots
    from edgesim.core.errors import ConfigError, EdgesimError
    from edgesim.results.result import Comparison, Result, load
    from edgesim.scenario.load import load_scenario
    from edgesim.scenario.resume import resume
    from edgesim.scenario.run import compare, run

__all__ = [
    "Comparison",
    "ConfigError",
    "EdgesimError",
    "Result",
    "compare",
    "load",
    "load_scenario",
    "plots",
    "resume",
    "run",
]

__version__ = _version("edgesim")

_HOMES = {
    "Comparison": "edgesim.results.result:Comparison",
    "ConfigError": "edgesim.core.errors:ConfigError",
    "EdgesimError": "edgesim.core.errors:EdgesimError",
    "Result": "edgesim.results.result:Result",
    "compare": "edgesim.scenario.run:compare",
    "load": "edgesim.results.result:load",
    "load_scenario": "edgesim.scenario.load:load_scenario",
    "plots": "edgesim.results.plots:",
    "resume": "edgesim.scenario.resume:resume",
    "run": "edgesim.scenario.run:run",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'edgesim' has no attribute {name!r}")
    module, _, attribute = home.partition(":")
    found = import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
