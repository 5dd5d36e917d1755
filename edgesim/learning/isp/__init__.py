"""Image pipelines: from a scene to RAW to the picture that a phone delivers.

=================================  ============================================================
:mod:`~edgesim.learning.isp.camera`    what a camera is: sensor, stages and their options
=================================  ============================================================

Only numbers are imported here; the rest is where it is used.
"""
