"""The metrics of a cell: the only place that defines their names and meanings.

Definitions are TextAttack's. An example is skipped when the model is wrong before the attack, then
successful (the attack found a text the model gets wrong) or failed. Rates are shares from 0 to 1.
An example that ended in an error is in no average; only `num_errors` counts it.

A metric is added in METRICS and in `attack_metrics`
(docs/architecture.md, "Where to add something").
"""

import hashlib
import math
from collections.abc import Iterable, Mapping

from trainables.records import ExampleRecord, Metrics, Result, digest

FIRST_ERRORS = 3  # if the first few all end in errors, the attack is broken
METRICS = {
    "clean_accuracy": "right before the attack / all attacked examples",
    "accuracy_under_attack": "attacked and still right / all attacked examples",
    "attack_success_rate": "successful / (successful + failed); skipped examples left out",
    "avg_queries": "mean queries to the model over successful and failed; cache hits count",
    "avg_perturbed_words_pct": "mean share of words changed over successful, in percent",
    "avg_similarity": "mean cosine of the attacked texts' embeddings, before and after, over "
    "successful; older records lack it and are left out",
    "avg_edit_distance": "mean number of characters inserted, deleted or replaced, over successful",
    "avg_original_bits_per_character": "mean bits per character of the attacked texts by the "
    "packaged GPT-2, before the attack, over successful",
    "avg_perturbed_bits_per_character": "the same after it: more bits, a less fluent text",
    "num_examples": "examples in the averages, skipped ones among them",
    "num_skipped": "examples the model had wrong before the attack",
    "num_errors": "examples whose attack raised an error; in no other figure",
    "num_timeouts": "examples that took longer than attack.seconds_per_example, counted as failed; "
    "only where there are any",
    "num_budgets": "examples whose query budget was spent before the attack succeeded, counted as "
    "failed; only where there are any",
    "examples_per_second": "attacked examples a second of one trial",
    "attack_seconds": "seconds spent attacking, summed over examples",
    "validation_accuracy": "of the fit, on the validation set",
    "test_accuracy": "of the fit, on the whole test set, clean",
    "fit_seconds": "seconds of the fit this cell attacks",
}


def attack_metrics(records: Iterable[ExampleRecord]) -> Metrics:
    """The attack's metrics from the records of a cell; None where there is nothing to average."""
    everything = list(records)
    finished = [r for r in everything if r["status"] != "error"]
    attacked = [r for r in finished if r["status"] != "skipped"]
    successful = [r for r in attacked if r["status"] == "successful"]
    similarities = [s for r in successful if (s := r.get("similarity")) is not None]
    edits = [e for r in successful if (e := r.get("edit_distance")) is not None]
    bits = [b for r in successful if (b := r.get("bits_per_character")) is not None]
    seconds = sum(r["seconds"] for r in finished)
    timeouts = sum(bool(r.get("timeout")) for r in finished)
    budgets = sum(bool(r.get("budget")) for r in finished)
    return {
        "clean_accuracy": _ratio(len(attacked), len(finished)),
        "accuracy_under_attack": _ratio(len(attacked) - len(successful), len(finished)),
        "attack_success_rate": _ratio(len(successful), len(attacked)),
        "avg_queries": _ratio(sum(r["queries"] for r in attacked), len(attacked)),
        "avg_perturbed_words_pct": _ratio(
            sum(100 * r["words_changed"] / max(r["words"], 1) for r in successful), len(successful)
        ),
        "avg_similarity": _ratio(sum(similarities), len(similarities)),
        "avg_edit_distance": _ratio(sum(edits), len(edits)),
        "avg_original_bits_per_character": _ratio(sum(before for before, _ in bits), len(bits)),
        "avg_perturbed_bits_per_character": _ratio(sum(after for _, after in bits), len(bits)),
        "num_examples": len(finished),
        "num_skipped": len(finished) - len(attacked),
        "num_errors": len(everything) - len(finished),
        **({"num_timeouts": timeouts} if timeouts else {}),
        **({"num_budgets": budgets} if budgets else {}),
        "attack_seconds": seconds,
        "examples_per_second": _ratio(len(finished), seconds),
    }


def check_errors(records: Iterable[ExampleRecord], at_the_end: bool = False) -> None:
    """Raises RuntimeError if the attack or the victim seems to be broken, not single examples.

    That is if the first few examples attacked, in order, all ended in errors, or at the end most of
    them.
    """
    attacked = [record for record in records if record["status"] != "skipped"]
    errors = [record for record in attacked if record["status"] == "error"]
    all_of_the_first = len(errors) == len(attacked) >= FIRST_ERRORS
    if all_of_the_first or (at_the_end and len(errors) > max(len(attacked) / 2, 1)):
        raise RuntimeError(
            f"{len(errors)} of {len(attacked)} attacked examples ended in errors, so the attack or "
            f"the model is broken; the last error: {errors[-1]['error']}"
        )


def records_digest(records: Iterable[ExampleRecord]) -> str:
    """SHA-256 of the records that a result was computed from, in order, without their times and
    places."""
    return hashlib.sha256("".join(map(digest, records)).encode()).hexdigest()


def why_not_of(result: Result, attacked: Mapping[int, ExampleRecord]) -> str:
    """Why a cell's result does not belong to these records (by example id); empty if it does.

    Compares its metrics, and the records' digest if it has one.
    """
    missing = sum(id not in attacked for id in result["sample"])
    if missing:
        return f"{missing} of its {len(result['sample'])} attacked examples are missing"
    sample = [attacked[id] for id in result["sample"]]
    now, then = attack_metrics(sample), result["metrics"]
    same = all(_equal(then[name], now[name]) for name in then.keys() & now.keys())
    if "records_sha256" in result:
        same = same and result["records_sha256"] == records_digest(sample)
    return "" if same else "its attacked examples are not those it was computed from"


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
