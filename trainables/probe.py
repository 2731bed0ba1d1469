"""Linear probing before fine-tuning (LPFT): the last linear layer starts as logistic regression.

Features are the last linear layer's inputs from the frozen model in evaluation mode. Multinomial
logistic regression over them, with C chosen on validation out of 50 log-spaced values from 0.1 to
100, initialises that layer; then everything is fine-tuned (docs/protocol.md, "Heads").
"""

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from search_spaces.errors import BadInput
from trainables.data import Example
from trainables.heads.base import Head

STRENGTHS = np.logspace(-1, 2, 50)
MOST_ITERATIONS = 500  # of L-BFGS, for each strength
BATCH = 64


def probe(head: Head, train: list[Example], validation: list[Example]) -> LogisticRegression:
    """Set the head's last linear layer to the best probe, which is returned.

    Afterwards the head's logits in evaluation mode equal the probe's decision function (two
    classes: their difference does). Raises BadInput for a head without a last linear layer.
    """
    linear = head.last_linear()
    if linear is None:
        raise BadInput(f"{type(head).__name__} has no last linear layer to probe")
    features, labels = _features(head, linear, train), _labels(train)
    held_out, held_out_labels = _features(head, linear, validation), _labels(validation)
    regression = LogisticRegression(
        max_iter=MOST_ITERATIONS, warm_start=True, fit_intercept=linear.bias is not None
    )
    best, best_accuracy = None, -1.0
    for strength in STRENGTHS:
        regression.set_params(C=strength)
        # The fit's number of threads, not the machine's number of cores.
        with threadpool_limits(torch.get_num_threads()), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.fit(features, labels)
        accuracy = regression.score(held_out, held_out_labels)
        if accuracy > best_accuracy:
            best_accuracy = accuracy
            best = (strength, regression.coef_.copy(), regression.intercept_.copy())
    assert best is not None
    regression.C, regression.coef_, regression.intercept_ = best
    _initialise(linear, regression)
    return regression


def _initialise(linear: torch.nn.Linear, regression: LogisticRegression) -> None:
    weight, bias = torch.tensor(regression.coef_), torch.tensor(regression.intercept_)
    if len(weight) == 1:
        # Two classes have one score: the difference of their logits.
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    with torch.no_grad():
        linear.weight.copy_(weight)
        if linear.bias is not None:
            linear.bias.copy_(bias)


def _features(head: Head, linear: torch.nn.Linear, examples: list[Example]) -> np.ndarray:
    seen: list[torch.Tensor] = []
    hook = linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

    by_length = sorted(range(len(examples)), key=lambda i: sum(map(len, examples[i].texts)))

    def of(rows: range) -> torch.Tensor:
        seen.clear()
        batch = head.encode([examples[by_length[row]].texts for row in rows]).to(head.device)
        head.score(batch)
        seen[0] = _at_the_last_token(seen[0], batch.attention_mask)
        return torch.cat(seen).cpu()

    head.eval()
    try:
        with torch.no_grad():
            parts = head.in_batches(len(examples), BATCH, of)
    finally:
        hook.remove()
    features = torch.cat(parts).double()
    back = torch.empty_like(features)
    back[torch.tensor(by_length)] = features
    return back.numpy()


def _at_the_last_token(features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    # GPT-2's head scores every token and picks the last one's logits afterwards.
    if features.dim() == 2:
        return features
    return features[torch.arange(len(features)), mask.sum(dim=1) - 1]


def _labels(examples: list[Example]) -> list[int]:
    return [example.label for example in examples]
