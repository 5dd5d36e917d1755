"""Image pipelines: from a scene to RAW to the picture that a phone delivers.

========================================  =========================================================
:mod:`~edgesim.learning.isp.camera`       what a camera is: a sensor, six stages, a look
:mod:`~edgesim.learning.isp.sensor`       from a linear scene to RAW
:mod:`~edgesim.learning.isp.stages`       the stages of an image signal processor
:mod:`~edgesim.learning.isp.pipeline`     pictures of a data set, as a camera would have taken them
:mod:`~edgesim.learning.isp.album`        the same once more, from the disk
========================================  =========================================================

>>> from edgesim.learning.isp import BASELINE, RAW, Camera, Sensor, photograph
>>> Camera(Sensor(exposure=0.5), BASELINE).isp.tone
'srgb_gamma'
"""

from edgesim.learning.isp.camera import BASELINE, CFAS, RAW, STAGES, Camera, Isp, Sensor
from edgesim.learning.isp.pipeline import develop, develop_by_stage, photograph, take_raw, to_scene

__all__ = [
    "BASELINE",
    "CFAS",
    "RAW",
    "STAGES",
    "Camera",
    "Isp",
    "Sensor",
    "develop",
    "develop_by_stage",
    "photograph",
    "take_raw",
    "to_scene",
]
