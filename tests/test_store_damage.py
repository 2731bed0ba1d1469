"""A damaged file of a store affects nothing else, whichever it is and whatever happened to it.

It is named and counts as missing: no traceback and no wrong number. A later sweep keeps it aside
and ends with the table of an undamaged store.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import small
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from stores import write

from orchestrator.cli.arguments import open_plan
from orchestrator.cli.damage import set_aside
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.report import contents
from orchestrator.report.from_store import read_store
from orchestrator.report.results import CellResult
from orchestrator.sweep import __main__ as sweep
from orchestrator.sweep import status
from orchestrator.sweep.__main__ import _parser
from search_spaces.cell import Cell
from search_spaces.space import Space, load
from trainables import fit as fit_module
from trainables.assets import Assets
from trainables.cell import Worker
from trainables.records import Spent, TrialReport, weights_name
from trainables.scratch import scratch
from trainables.store import Store
from trainables.transfer import Adversarial, replay

ASSETS = Assets("embedded")
SPACE = """
name: damaged
axes:
  dataset: [sst2]
  model: [bert-embedded]
  head: [mlp_ft, project_cls]
  attack: [misspellings]
assets: embedded
fit: {train_examples: 16, max_epochs: 1, max_length: 32}
attack: {examples: 3, resources: embedded}
evaluate_also: {sst2: [mrpc]}
"""


@pytest.fixture(scope="module", autouse=True)
def in_a_hurry() -> Iterator[None]:
    """A driver on another machine is watched only for a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(status, "DEAD_AFTER", 0.1)
        patch.setattr(status, "LOOK_EVERY", 0.05)
        yield


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("space") / "space.yaml"
    file.write_text(SPACE)
    return file


def run_missing(space: Space, store: Store) -> list[str]:
    """What a sweep does with a plan, without Ray and MLflow; returns what it says of damage."""
    plan = make_plan(space, ASSETS, store)
    said = set_aside(plan, store)
    worker = Worker(store, ASSETS)
    for cell in plan.todo:
        *_, last = worker.run(cell)
        assert last["phase"] == "done", last
    return said


@pytest.fixture(scope="module")
def sound(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that holds every kind of file: one cell is finished, one half attacked."""
    folder = tmp_path_factory.mktemp("sound") / "store"
    store, asked = Store(str(folder)), load(str(space))
    run_missing(asked, store)
    first, second = make_plan(asked, ASSETS, store).with_status("done")
    records = store.attacked(second.log)
    (folder / "cells" / second.key / "result.json").unlink()
    (folder / "attacks" / second.log / "examples.jsonl").unlink()
    for record in list(records.values())[:2]:
        store.add_attacked(second.log, record)
    example = Adversarial(1, 0, ("a fine film",), ("a dull film",), None)
    list(replay(first.fit, {first.log: [example]}, store, ASSETS))
    store.write_environment("damaged", {"versions": {"torch": "1"}})
    store.write_times("damaged", {"slots": 2})
    store.write_driver("0" * 32, {"machine": "x", "pid": 1, "count": 1, "state": "holding"})
    return folder


@pytest.fixture(scope="module")
def undamaged(sound: Path, space: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The figures that a sweep ends with in a store that nothing happened to."""
    folder = copied(sound, tmp_path_factory.mktemp("whole") / "store")
    run_missing(load(str(space)), Store(str(folder)))
    found = figures(load(str(space)), Store(str(folder)))
    assert len(found) == 2 and all(final for _, final, _, _ in found)
    return found


def copied(folder: Path, to: Path) -> Path:
    """A copy whose files share their bytes: every writer puts a new file in a file's place."""
    shutil.copytree(folder, to, copy_function=os.link)
    return to


def figures(space: Space, store: Store) -> list[Any]:
    """All that a report shows of the cells that have figures; seconds differ between runs."""
    found = read_store(make_plan(space, ASSETS, store), store)
    return [shown(result) for result in found.cells]


def shown(result: CellResult) -> tuple[Any, ...]:
    metrics = {name: value for name, value in result.metrics.items() if "second" not in name}
    texts = [(r["id"], r["status"], r.get("perturbed_text")) for r in result.records()]
    accuracies = [e["accuracy"] for e in result.evaluations]
    fit = result.fit["test_accuracy"], result.fit["validation_accuracy"], accuracies
    return result.cell.key, result.final, (metrics, texts), fit


def cut(content: bytes, others: list[bytes], draw: Callable[..., Any]) -> bytes:
    return content[: draw(st.integers(1, max(len(content) - 1, 1)))]


def emptied(content: bytes, others: list[bytes], draw: Callable[..., Any]) -> bytes:
    return b""


def other_kind(content: bytes, others: list[bytes], draw: Callable[..., Any]) -> bytes:
    return draw(st.sampled_from(others))


def of_a_person(content: bytes, others: list[bytes], draw: Callable[..., Any]) -> bytes:
    return draw(
        st.sampled_from([b"my notes\n", b"\xff\xfe\x00", b"[]", b"{}", b"null", b"[" * 5000])
    )


def other_version(content: bytes, others: list[bytes], draw: Callable[..., Any]) -> bytes:
    """A name that is used is missing, or has a value of another type."""
    try:
        record = json.loads(content.splitlines()[0] if b'\n{"id"' in content else content)
    except ValueError:
        return b""
    name = draw(st.sampled_from(sorted(record)))
    if draw(st.booleans()):
        del record[name]
    else:
        record[name] = draw(st.sampled_from([None, "x", [], {}, -1.5]))
    return json.dumps(record).encode()


DAMAGES = [cut, emptied, other_kind, of_a_person, other_version]


def kinds(folder: Path) -> dict[str, list[str]]:
    """The store's files, by kind."""
    found: dict[str, list[str]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        first, *_, name = path.relative_to(folder).parts
        kind = name if first in ("fits", "cells") and not name.startswith("on-") else first
        kind = "log" if name == "examples.jsonl" else "evaluation" if name[:3] == "on-" else kind
        found.setdefault(kind, []).append(path.relative_to(folder).as_posix())
    return found


def commands(space: Path, store: Path) -> None:
    """Every command that only reads; each prints at most one line on what it cannot do. The report
    without plots, which use the same numbers."""
    asked = ["--space", str(space), "--store", str(store)]
    for only in (["--status"], ["--status", "--json"], ["--dry-run"], ["--dry-run", "--json"]):
        assert sweep.main([*asked, *only]) in (0, 2)
    plan, opened, _ = open_plan(_parser().parse_args(asked), reading=True)
    for cell in plan.cells:
        assert sweep.main([*asked, "--explain", cell.cell.key]) in (0, 2)
    assert contents.tables(read_store(plan, opened, from_elsewhere=True))


@given(data=st.data())
@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck), derandomize=True)
def test_whatever_happens_to_a_file_no_number_is_wrong_and_a_later_sweep_mends_it(
    sound: Path, undamaged: list[Any], space: Path, data: st.DataObject,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asked = load(str(space))
    by_kind = kinds(sound)
    kind = data.draw(st.sampled_from(sorted(by_kind)))
    name = data.draw(st.sampled_from(by_kind[kind]))
    harm = data.draw(st.sampled_from(DAMAGES))
    with scratch("damage") as temporary:
        folder = copied(sound, Path(temporary) / "store")
        content = (folder / name).read_bytes()
        others = [(folder / other).read_bytes() for k in by_kind for other in by_kind[k]]
        damaged = harm(content, others, data.draw)
        (folder / name).unlink()
        (folder / name).write_bytes(damaged)
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        commands(space, folder)
        capsys.readouterr()
        assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        known = {key: rest for key, *rest in undamaged}
        for key, final, *rest in figures(asked, Store(str(folder))):
            assert not final or [True, *rest] == known[key], f"a wrong number from {name}"
        said = run_missing(asked, Store(str(folder)))
        assert figures(asked, Store(str(folder))) == undamaged
        kept = {path.read_bytes() for path in folder.rglob("*.damaged-1")}
        assert len(said) == len(kept) and kept <= {damaged}
        event(f"{kind}: {harm.__name__}")  # counted by --hypothesis-show-statistics


def test_weights_deleted_for_room_leave_what_is_done_and_are_made_again_when_needed(
    sound: Path, undamaged: list[Any], space: Path, tmp_path: Path
) -> None:
    asked, folder = load(str(space)), copied(sound, tmp_path / "store")
    weights = {path: path.read_bytes() for path in folder.glob("fits/*/weights-*.safetensors")}
    for path in weights:
        path.unlink()
    plan = make_plan(asked, ASSETS, Store(str(folder)))
    assert [planned.status for planned in plan.cells] == ["done", "todo"] and not plan.fits_done
    run_missing(asked, Store(str(folder)))
    assert figures(asked, Store(str(folder))) == undamaged
    (again,) = folder.glob("fits/*/weights-*.safetensors")
    assert again.read_bytes() == weights[again]


@pytest.mark.parametrize("of", ["files", "keys"])
def test_what_stands_in_the_place_of_a_file_or_a_folder_is_kept_aside(
    of: str, sound: Path, undamaged: list[Any], space: Path, tmp_path: Path
) -> None:
    """A folder for each kind of file, or a file for the folder of a fit, a log and a cell."""
    asked = load(str(space))
    names = [files[0] for files in kinds(sound).values()]
    keys = sorted({"/".join(name.split("/")[:2]) for name in names if name.count("/") == 2})
    for number, name in enumerate(names if of == "files" else keys):
        folder = copied(sound, tmp_path / str(number) / "store")
        if of == "files":
            (folder / name).unlink()
            (folder / name).mkdir()
        else:
            shutil.rmtree(folder / name)
            (folder / name).write_text("in the way")
        commands(space, folder)
        run_missing(asked, Store(str(folder)))
        assert figures(asked, Store(str(folder))) == undamaged, name


@pytest.mark.parametrize("change", [b"failed", b"skipped"])
def test_an_example_that_was_changed_by_hand_is_attacked_again(
    change: bytes, sound: Path, undamaged: list[Any], space: Path, tmp_path: Path
) -> None:
    asked, folder = load(str(space)), copied(sound, tmp_path / "store")
    (log,) = folder.glob("attacks/*/examples.jsonl")
    lines = log.read_bytes().replace(b'"status": "%s"' % change, b'"status": "successful"', 1)
    log.unlink()
    log.write_bytes(lines)
    assert not any(final for _, final, _, _ in figures(asked, Store(str(folder))))
    (said,) = run_missing(asked, Store(str(folder)))
    assert "was changed since it was written" in said
    assert figures(asked, Store(str(folder))) == undamaged


def test_a_file_that_this_user_may_not_read_counts_as_missing(
    sound: Path, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root every file can be read: the store asks whether it may."""
    folder = copied(sound, tmp_path / "store")
    able = os.access
    for kind, (name, *_) in kinds(sound).items():
        closed = str(folder / name)
        monkeypatch.setattr(
            os, "access", lambda path, mode, closed=closed: str(path) != closed and able(path, mode)
        )
        commands(space, folder)
        store = Store(str(folder))
        read_store(make_plan(load(str(space)), ASSETS, store), store)
        if kind in ("log", "attacks", "result.json", "fit.json", "evaluation"):
            assert store.damaged == {name: "this user may not read it"}


@pytest.mark.parametrize("gone", ["fits", "attacks", "cells", "fits/*/fit.json"])
def test_folders_that_are_gone_are_made_again(
    gone: str, sound: Path, undamaged: list[Any], space: Path, tmp_path: Path
) -> None:
    asked, folder = load(str(space)), copied(sound, tmp_path / "store")
    for path in folder.glob(gone):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    commands(space, folder)
    run_missing(asked, Store(str(folder)))
    assert figures(asked, Store(str(folder))) == undamaged


def test_what_was_attacked_on_other_weights_is_attacked_again(
    sound: Path, space: Path, tmp_path: Path
) -> None:
    """Weights that are trained again on another kind of machine may differ."""
    asked, folder = load(str(space)), copied(sound, tmp_path / "store")
    store = Store(str(folder))
    cell: Cell = make_plan(asked, ASSETS, store).with_status("done")[0]
    fit = store.read_fit(cell.fit.key)
    for path in (folder / "fits" / cell.fit.key).glob("*"):
        path.unlink()
    fit["weights_sha256"] = "0" * 64  # of the weights that were lost
    store._write_json(f"fits/{cell.fit.key}/fit.json", fit)
    plan = make_plan(asked, ASSETS, store)
    reasons = {planned.cell.key: planned.reason for planned in plan.cells}
    assert "other weights" in reasons[cell.key]
    run_missing(asked, store)
    now = store.read_fit(cell.fit.key)
    assert now["replaces_others"] and now["weights_sha256"] != "0" * 64
    assert {r["weights"] for r in store.attacked(cell.log).values()} == {now["weights_sha256"][:16]}
    assert cell in make_plan(asked, ASSETS, store).with_status("done")


def test_a_fit_in_mid_training_is_in_nobodys_way(
    sound: Path, undamaged: list[Any], space: Path, tmp_path: Path
) -> None:
    """Neither its snapshot, which here is one of another format, nor a half written one."""
    asked, folder = load(str(space)), copied(sound, tmp_path / "store")
    store = Store(str(folder))
    before = make_plan(asked, ASSETS, store)
    for cell in before.with_status("done", "todo"):
        store.write_snapshot(cell.fit.key, b"a snapshot of another format")
        half = folder / "fits" / cell.fit.key / f"snapshot.bin.{'0' * 32}.part"
        half.write_bytes(b"half")
    commands(space, folder)
    plan = make_plan(asked, ASSETS, store)
    assert (plan.cells, plan.fits_done) == (before.cells, before.fits_done)
    assert not run_missing(asked, store) and not store.damaged
    assert figures(asked, store) == undamaged
    store.remove_leftovers()
    assert not list(folder.glob("fits/*/snapshot*"))


def test_of_weights_that_were_replaced_nothing_is_mixed_with_the_new_ones(
    sound: Path, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell's weights are found damaged when its attack goes on, and made again on a machine
    where they differ: here, by other random numbers."""
    asked, folder = load(str(space)), copied(sound, tmp_path / "store")
    store = Store(str(folder))
    cell: Cell = make_plan(asked, ASSETS, store).with_status("done")[0]
    before = weights_name(store.read_fit(cell.fit.key))
    for name in (
        f"cells/{cell.key}/result.json", f"fits/{cell.fit.key}/weights-{before}.safetensors",
    ):  # fmt: skip
        store.files.delete(name)
    store.files.write(f"fits/{cell.fit.key}/weights-{before}.safetensors", b"damaged")
    log = store.attacked(cell.log)
    store.merge_log(cell.log, {id: log[id] for id in sorted(log)[:-1]})
    fresh_head = fit_module.fresh_head

    def drawn_on(fit: Any, assets: Assets, device: str) -> Any:
        head = fresh_head(fit, assets, device)
        torch.rand(1)
        return head

    monkeypatch.setattr(fit_module, "fresh_head", drawn_on)
    *_, last = Worker(store, ASSETS).run(cell)
    assert last["phase"] == "done"
    fit = store.read_fit(cell.fit.key)
    now = weights_name(fit)
    assert now != before and fit["replaces_others"]
    assert store.read_result(cell.key)["weights"] == now
    records = store.attacked(cell.log)
    assert len(records) == len(log) and {r["weights"] for r in records.values()} == {now}
    assert {r["weights"] for r in store.evaluations(cell.fit.key).values()} == {now}
    assert cell in make_plan(asked, ASSETS, store).with_status("done")


def test_a_cell_whose_fit_was_made_again_in_mid_sweep_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a machine that was cut off, say. Without Ray: what ends a sweep is looked at."""
    from orchestrator.run import cells
    from orchestrator.sweep import driver

    def run(plan: Plan, store: Store, assets: str, listener: cells.Listener, *_: Any) -> None:
        slots: TrialReport = {"phase": "begun", "slots": 1, "holds": 1.0, "node": "here"}
        spent: Spent = {"attack": 1.0, "victim": 0.0, "constraints": 0.0}
        for cell in plan.todo:
            write(cell, store, lambda cell, id: "failed")
            metrics = store.read_result(cell.key)["metrics"]
            listener(cell, slots)
            listener(cell, {"phase": "done", "finished": 1, "total": 1, "spent": spent,
                            "metrics": metrics})  # fmt: skip
        fit = store.read_fit(cell.fit.key)
        store.files.delete(f"fits/{cell.fit.key}/weights-{weights_name(fit)}.safetensors")
        store.write_fit(cell.fit.key, b"other weights", fit)

    monkeypatch.setattr(cells, "run_cells", run)
    monkeypatch.setattr(driver, "open_ray", lambda *_: None)
    monkeypatch.setattr("orchestrator.run.nodes._alive", dict)
    assert sweep.main([*small(), "--store", str(tmp_path)]) == 1
    assert "0 of 2 cells done" in capsys.readouterr().out
