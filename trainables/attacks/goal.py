"""What an attack maximises, and how many queries it may ask: untargeted classification.

Searches follow the goal function's score from text to text, so a badly scaled model misleads them.
TextAttack's score, 1 - p(label) in float32, is 0 for all texts that the model is sure of: nothing
is left to follow, and it looks robust (Raina et al., ACL 2024). These scores do not saturate:

probability  the log-odds of all other labels against the right one: orders texts as its exact
             probability does
margin       the largest logit of another label, minus that of the right one
temperature  as probability, of logits divided by the fit's temperature (trainables/calibration.py)
textattack   TextAttack's own

With two classes the first three order all texts alike, and are computed as the margin, to the bit.
Import after `prepare_textattack`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from textattack.goal_function_results import ClassificationGoalFunctionResult
from textattack.goal_functions import UntargetedClassification
from textattack.models.wrappers import ModelWrapper
from textattack.shared import AttackedText
from torch import Tensor

from search_spaces.query_budget import queries_of
from search_spaces.space import Scores

QUERIED_AT_ONCE = 256  # texts of an example; its time limit is checked after as many


class BudgetSpent(Exception):
    """An example's attack asked on though its query budget was spent."""


@dataclass(frozen=True)
class Goal:
    """The settings of a goal function. temperature: the fit's. query_budget: None for no limit."""

    scores: Scores = "probability"
    temperature: float = 1.0
    query_budget: int | str | None = None


DEFAULT = Goal()


def goal_function(victim: ModelWrapper, goal: Goal) -> UntargetedClassification:
    """The goal function of an attack on a victim."""
    kind = TextAttacksOwn if goal.scores == "textattack" else Unsaturated
    return kind(victim, goal)


class _WithBudget(UntargetedClassification):
    """Stops at the query budget where TextAttack's own would, whose searches get their last texts'
    results cut short, and are told that the search is over."""

    def __init__(self, victim: ModelWrapper, goal: Goal) -> None:
        super().__init__(victim, model_batch_size=QUERIED_AT_ONCE)
        self.goal = goal

    def init_attack_example(self, attacked_text: AttackedText, ground_truth_output: int) -> Any:
        budget = self.goal.query_budget
        words = len(attacked_text.words)
        self.query_budget = math.inf if budget is None else queries_of(budget, words)
        return super().init_attack_example(attacked_text, ground_truth_output)

    def get_results(
        self, attacked_text_list: Sequence[AttackedText], check_skip: bool = False
    ) -> Any:
        if attacked_text_list and self.num_queries >= self.query_budget:
            raise BudgetSpent
        return super().get_results(attacked_text_list, check_skip)


class TextAttacksOwn(_WithBudget):
    """1 - p(label), of a softmax in float32."""


class Unsaturated(_WithBudget):
    """Scores of logits in float64."""

    def _process_model_outputs(self, inputs: Sequence[AttackedText], outputs: Tensor) -> Tensor:
        """Logits [texts, classes]. Raises ValueError for what is no number."""
        if outputs.isnan().any():
            raise ValueError("the model's scores are not numbers (nan)")
        return outputs.double()

    def _get_score(self, model_output: Tensor, _: AttackedText) -> float:
        others = model_output.tolist()
        right = others.pop(self.ground_truth_output)
        largest: float = max(others)
        if len(others) == 1 or self.goal.scores == "margin":
            return largest - right
        scale = self.goal.temperature if self.goal.scores == "temperature" else 1.0
        rest = sum(math.exp((other - largest) / scale) for other in others)
        return (largest - right) / scale + math.log(rest)

    def _goal_function_result_type(self) -> type[ClassificationGoalFunctionResult]:
        return OfLogits


class OfLogits(ClassificationGoalFunctionResult):
    """A result whose raw output is logits."""


def probabilities(result: ClassificationGoalFunctionResult) -> np.ndarray:
    """By label [classes], without any temperature."""
    raw = np.asarray(result.raw_output)  # TextAttack turns some into arrays
    if not isinstance(result, OfLogits):
        return raw
    shares = np.exp(raw - raw.max())
    return shares / shares.sum()
