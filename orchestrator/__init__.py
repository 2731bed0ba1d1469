"""How a sweep is planned, run on Ray, followed in MLflow, and compared."""

import sys

from orchestrator import output, stopping

if sys.argv[:1] == ["-m"]:  # `python -m` is about to import one of the commands, for a second.
    output.open_descriptors()
    stopping.quiet_before_begun()
