"""How a sweep is planned, run on Ray, followed in MLflow, and compared."""

import sys

# The version of this software: the wheel, `--version` and MLflow's tags have it from here.
__version__ = "0.1.0"

if sys.argv[:1] == ["-m"]:  # `python -m` is about to import one of the commands, for a second.
    try:
        from orchestrator import output, stopping

        output.open_descriptors()
        stopping.quiet_before_begun()
    except KeyboardInterrupt:
        print("stopped before anything was begun (SIGINT)", file=sys.stderr)
        sys.exit(130)
