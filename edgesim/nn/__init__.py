"""Neural networks as cost tables, and the pure functions from (model, processor) to seconds and joules.

Nothing here knows a clock: the same functions serve the simulator, the controllers and a notebook.
"""

from edgesim.nn.cost import ProcessorSpec, inference_energy_j, inference_s
from edgesim.nn.model import Accuracy, ModelCost

__all__ = ["Accuracy", "ModelCost", "ProcessorSpec", "inference_energy_j", "inference_s"]
