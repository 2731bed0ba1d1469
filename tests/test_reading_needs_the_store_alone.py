"""A store can be copied, moved and mailed: it can be read without its data and models.

Its space asks for data, a head and an attack of the user's own, none of which came along.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from stores import write

from orchestrator.plan.plan import make_plan
from orchestrator.report import __main__ as report
from orchestrator.sweep import __main__ as sweep
from search_spaces.space import load
from trainables.assets import EMBEDDED, Assets
from trainables.store import Store

SPACE = """
name: mine
assets: {assets}
axes:
  dataset: [sst2]
  model: [bert-base-uncased]
  head: [mlp_ft, own]
  attack: [own]
attack: {{examples: 20, resources: embedded}}
"""


@pytest.fixture
def store(tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished store, moved to another folder after its data, models and code were deleted."""
    (tmp_path / "data" / "datasets" / "sst2").mkdir(parents=True)
    for path in (EMBEDDED / "datasets" / "sst2").glob("*.parquet"):
        os.link(path, tmp_path / "data" / "datasets" / "sst2" / path.name)
    shutil.copytree(tiny_bert, tmp_path / "data" / "models" / "bert-base-uncased")
    (tmp_path / "own_code.py").write_text("class Own: pass\ndef own(): pass\n")
    for kind, code in (("head", "own_code:Own"), ("attack", "own_code:own")):
        (tmp_path / "catalog" / f"{kind}s").mkdir(parents=True)
        (tmp_path / "catalog" / f"{kind}s" / "own.yaml").write_text(f"about: own\nkind: {code}\n")
    (tmp_path / "space.yaml").write_text(SPACE.format(assets=tmp_path / "data"))
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Store(str(tmp_path / "store"))
    plan = make_plan(load(str(tmp_path / "space.yaml")), Assets(str(tmp_path / "data")), made)
    for cell in plan.todo:
        write(cell, made, lambda cell, id: "successful" if id % 3 else "failed")
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "own_code.py").unlink()
    sys.modules.pop("own_code", None)
    return (tmp_path / "store").rename(tmp_path / "moved [1] 50%?")


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_status_and_report_read_a_store_without_data_models_or_code(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(store)
    asked = ["--space", str(tmp_path / "space.yaml"), "--store", str(store)]
    assert sweep.main([*asked, "--status", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["totals"]["done"] == 2 and not said.err
    assert report.main([*asked, "--out", str(tmp_path / "out")]) == 0
    assert "| own " in capsys.readouterr().out
    assert contents(store) == before, "reading changed the store"
    assert sweep.main([*asked, "--dry-run"]) == 2
    assert "no assets folder at" in capsys.readouterr().err, "to run something takes the data"


def test_a_store_that_cannot_be_written_is_reported_on_in_the_current_folder(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    able = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and able(path, mode))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = contents(store)
    asked = ["--space", str(tmp_path / "space.yaml"), "--store", str(store)]
    assert report.main(asked) == 0
    assert "report/mine/index.html" in capsys.readouterr().out
    assert (tmp_path / "here" / "report" / "mine" / "index.html").is_file()
    assert contents(store) == before
