"""``python -m edgesim``: the command line."""

from edgesim.cli.main import main

main()
