"""How well a fit's scores are calibrated: whether a gain in robustness may be one of their scale.

Knows nothing of attacks: those that follow calibrated scores take the temperature from here
(attacks/goal.py).
"""

import math

import numpy as np
from torch import Tensor

from trainables.records import Calibration

LEAST, MOST = 0.05, 20.0  # temperatures
BINS = 15  # of confidence, of equal width, for the calibration error


def calibration(
    validation: Tensor, validation_labels: Tensor, test: Tensor, test_labels: Tensor
) -> Calibration:
    """Of logits [rows, classes] and labels [rows].

    temperature: what logits are divided by, fitted on validation by the negative log-likelihood
    between LEAST and MOST (Guo et al., ICML 2017). separated: every validation row is right, so
    that the likelihood grows without end as the temperature falls, which then says nothing of the
    fit. error: the expected calibration error on test, of BINS bins; confidence: the mean of the
    largest probability there; saturated: the share of rows for which it is 1 in float32.
    """
    highest = test.softmax(dim=1).amax(dim=1)
    exact = test.double().softmax(dim=1)
    confidence, predicted = exact.max(dim=1)
    right = (predicted == test_labels).double()
    return {
        "temperature": temperature(validation, validation_labels),
        "separated": bool((validation.argmax(dim=1) == validation_labels).all()),
        "error": _calibration_error(confidence.numpy(), right.numpy()),
        "confidence": float(confidence.mean()),
        "saturated": float((highest >= 1).double().mean()),
    }


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature between LEAST and MOST at which labels [rows] are most likely."""
    from scipy.optimize import minimize_scalar  # Takes a moment to import.

    exact, rows = logits.double().numpy(), np.arange(len(labels))
    right = labels.numpy()

    def loss(log_temperature: float) -> float:
        scaled = exact / math.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, right]))

    found = minimize_scalar(
        loss, bounds=(math.log(LEAST), math.log(MOST)), method="bounded", options={"xatol": 1e-6}
    )
    return round(math.exp(found.x), 6)


def _calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean distance of accuracy and confidence over bins, weighted by their rows."""
    number = np.minimum((confidence * BINS).astype(int), BINS - 1)
    distances = (
        abs((right[number == each] - confidence[number == each]).sum()) for each in range(BINS)
    )
    return float(sum(distances) / len(right))
