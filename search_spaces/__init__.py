"""What can be run: spaces (which grid, with which settings) and the catalog (what each name means).

Plain YAML and pydantic. This package imports nothing heavy and knows nothing of torch, TextAttack,
Ray or MLflow, so that a plan can be shown in a blink.
"""

from search_spaces.space import Space, load

__all__ = ["Space", "load"]
