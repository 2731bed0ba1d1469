"""What can be run: spaces (which grid, with which settings) and the catalog (what each name means).

space.py           a space: which grid, with which settings      axes.py    the names on its axes
catalog.py         what each name on an axis means               catalog/   one YAML file a name
dataset_checks.py  checks of a data set's catalog file            cell.py    a cell, fully resolved
trainings.py       settings of our kinds of training              query_budget.py  queries an attack
yaml_file.py       YAML as people write it, errors with lines    errors.py  the error for users

Plain YAML and pydantic. This package imports nothing heavy and knows nothing of torch, TextAttack,
Ray or MLflow, so that a plan is shown immediately.
"""

from search_spaces.space import Space, load

__all__ = ["Space", "load"]
