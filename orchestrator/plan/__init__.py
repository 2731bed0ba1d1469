"""A space becomes a plan. Imports neither torch nor Ray: `--dry-run` answers at once.

cells.py      the grid: every cell with all that its result depends on
keys.py       that as a readable name and a hash
plan.py       what is done already, what is left
scores.py     the same cells under another kind of attack score
compared.py   which two methods are compared first, by which cells
costs.py      what fits and attacks will take: as measured, else by the model of cost
rates.py      measured seconds, by what decides them
cost_model.py operations, tokens, queries, devices   sizes.py      of models and data sets
training_cost.py passes of a step, rows made in a fit
elsewhere.py  cells found in a store without the data and models they were made from
inputs.py     are rows, models and prompts valid, before any compute is spent on them
"""
