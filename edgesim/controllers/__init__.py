"""Controllers: whoever decides. One small protocol per slot; see :mod:`edgesim.controllers.slots`."""
