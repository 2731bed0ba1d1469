"""A space becomes a plan. Imports neither torch nor Ray: `--dry-run` answers at once.

cells.py      the grid: every cell with all that its result depends on
keys.py       that as a readable name and a hash
plan.py       what is done already, what is left
rates.py      measured seconds, and what a fit or an attack will take
elsewhere.py  cells found in a store without the data and models they were made from
inputs.py     are rows, models and prompts valid, before any compute is spent on them
"""
