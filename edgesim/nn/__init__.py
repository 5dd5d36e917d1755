"""Neural networks as cost tables, and the pure functions from (model, processor) to seconds and joules.

Nothing here knows a clock: the same functions serve the simulator, the controllers and a notebook.
"""

from edgesim.nn.build import Net, Shape
from edgesim.nn.cost import (
    CostTable,
    Efficiency,
    Level,
    ProcessorSpec,
    inference_energy_j,
    inference_s,
    load_s,
    resident_bytes,
    training_energy_j,
    training_s,
)
from edgesim.nn.model import Accuracy, Layer, ModelCost, StateCounts
from edgesim.nn.table import read_model, write_model
from edgesim.nn.trace import from_module
from edgesim.nn.zoo import ZOO, find_model

__all__ = [
    "ZOO",
    "Accuracy",
    "CostTable",
    "Efficiency",
    "Layer",
    "Level",
    "ModelCost",
    "Net",
    "ProcessorSpec",
    "Shape",
    "StateCounts",
    "find_model",
    "from_module",
    "inference_energy_j",
    "inference_s",
    "load_s",
    "read_model",
    "resident_bytes",
    "training_energy_j",
    "training_s",
    "write_model",
]
