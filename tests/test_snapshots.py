"""A fit that was stopped goes on from its last snapshot, to the same bits and the same record."""

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plan.plan import make_plan
from search_spaces.cell import Fit
from search_spaces.space import load
from trainables import fit as fit_module
from trainables import probe as probe_module
from trainables.assets import Assets
from trainables.cell import fit_and_store
from trainables.files import StoreError
from trainables.fit import Fitted, fine_tune, fresh_head, load_data
from trainables.store import Store

ASSETS = Assets("embedded")
SMALL = [
    "fit.train_examples=20", "fit.max_length=24", "fit.batch_size=4", "fit.max_epochs=2",
    "fit.evaluate_every=8", "fit.patience=2", "attack.examples=1",
]  # fmt: skip
KINDS = {
    "mlp_ft": ("bert-embedded", "mlp_ft", "standard"),
    "mvp": ("roberta-embedded", "mvp", "standard"),
    "gpt2": ("gpt2-embedded", "mlp_ft", "standard"),
    "probed first": ("bert-embedded", "lpft_dense", "standard"),
    "adversarial": ("bert-embedded", "mvp", "adversarial"),
}


@pytest.fixture(autouse=True)
def a_snapshot_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_module, "SNAPSHOT_EVERY", 0.0)


def planned(model: str, head: str, training: str, *sets: str) -> Fit:
    only = ["dataset=sst2", f"model={model}", f"head={head}", f"training={training}"]
    only.append("attack=misspellings")
    space = load("embedded", only, [*SMALL, "axes.training=[standard, adversarial]", *sets])
    return make_plan(space, ASSETS, Store("nowhere")).todo[0].fit


@dataclass
class Whole:
    """A fit that nothing interrupted, and its snapshot after each step."""

    fit: Fit
    snapshots: list[bytes]
    reports: list[Any]
    fitted: Fitted


@cache
def whole(kind: str) -> Whole:
    fit = planned(*KINDS[kind])
    snapshots: list[bytes] = []
    *reports, fitted = fine_tune(fit, fresh_head(fit, ASSETS), load_data(fit, ASSETS), snapshots.append)
    assert isinstance(fitted, Fitted) and len(snapshots) == fitted.record["examples_seen"] / 4 > 4
    return Whole(fit, snapshots, reports, fitted)


def sha(fitted: Fitted) -> str:
    return hashlib.sha256(fitted.head.to_bytes()).hexdigest()


def record(fitted: Fitted) -> dict[str, Any]:
    return {name: value for name, value in fitted.record.items() if name != "seconds"}


def used_up_random_numbers() -> None:
    """As in a process that did other things before."""
    random.seed(9)
    np.random.seed(9)
    torch.manual_seed(9)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(deadline=None, max_examples=6, derandomize=True)
def test_a_fit_that_stops_at_any_step_goes_on_to_the_same_bits(
    kind: str, data: st.DataObject
) -> None:
    undisturbed = whole(kind)
    fit = undisturbed.fit
    step = data.draw(st.integers(0, len(undisturbed.snapshots) - 1))
    head = fresh_head(fit, ASSETS)
    used_up_random_numbers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe_module, "probe", lambda *_: pytest.fail("probed again"))
        snapshots: list[bytes] = []
        steps = fine_tune(
            fit, head, load_data(fit, ASSETS), snapshots.append, undisturbed.snapshots[step]
        )
        first, *reports, fitted = steps
    assert isinstance(fitted, Fitted)
    assert len(snapshots) == len(undisturbed.snapshots) - 1 - step
    assert sha(fitted) == sha(undisturbed.fitted)
    assert record(fitted) == record(undisturbed.fitted)
    assert first["finished"] == first["found"] == 4 * (step + 1)
    assert reports == undisturbed.reports[len(undisturbed.reports) - len(reports) :]
    finished = [report["finished"] for report in (first, *reports)]
    assert finished == sorted(finished)
