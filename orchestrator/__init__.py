"""A space becomes a plan, Ray runs it, we follow it, MLflow shows it, a report compares.

What you type after `python -m orchestrator.`:
  sweep/     plan the grid, run what is missing, compare      report/    the comparison
  track.py   fill MLflow from a store, look at it             transfer/  replay adversarial examples
  catalog.py what the names on the axes mean                  assets/    data and models, fetched
  cluster/   before `ray up`                                  __main__.py all of these by one name
What these are made of, each on top of those before it:
  plan/      space → cells → plan. Neither torch nor Ray.
  cli/       options, signals, output
  follow/    what is going on. No Ray.
  tracking/  MLflow, and nothing else knows it
  run/       Ray

Imports go one way: orchestrator → trainables → search_spaces.
"""

import sys

# The version of this software: the wheel, `--version` and MLflow's tags have it from here.
__version__ = "0.1.0"

if sys.argv[:1] == ["-m"]:  # `python -m` is about to import one of the commands, for a second.
    try:
        from orchestrator.cli import output, stopping

        output.open_descriptors()
        stopping.quiet_before_begun()
    except KeyboardInterrupt:
        print("stopped before anything was begun (SIGINT)", file=sys.stderr)
        sys.exit(130)
