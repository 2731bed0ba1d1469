"""A store of an earlier version is still done: nothing in it is trained or attacked again.

kept_store/ was written at commit 31092f0 (November 2026, without the weights) by

    python -m orchestrator.sweep --store kept_store --only dataset=sst2 --only model=bert-embedded \
      --only head=mlp_ft,mvp --only attack=misspellings,textfooler \
      --set attack.examples=2 --set fit.train_examples=32

and kept_keys.txt are the keys that commit gave the packaged spaces that need nothing but the
package. A change that makes this fail makes users' stores worthless: it belongs into CHANGELOG.md.
"""

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.sweep.__main__ import main

HERE = Path(__file__).parent
CELLS = [
    "--only", "dataset=sst2", "--only", "model=bert-embedded", "--only", "head=mlp_ft,mvp",
    "--only", "attack=misspellings,textfooler",
    "--set", "attack.examples=2", "--set", "fit.train_examples=32",
]  # fmt: skip


def test_a_store_of_an_earlier_version_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(HERE / "kept_store", tmp_path / "store")
    assert main([*CELLS, "--store", str(tmp_path / "store"), "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [cell["status"] for cell in plan["cells"]] == ["done"] * 4
    assert main([*CELLS, "--store", str(tmp_path / "store"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["done"] == 4
    logs = {path.parent.name: path.read_text() for path in tmp_path.glob("store/attacks/*/*")}
    kept = {path.parent.name: path.read_text() for path in HERE.glob("kept_store/attacks/*/*")}
    assert logs == kept


@pytest.mark.parametrize("space", ["embedded", "ablations", "sample_efficiency"])
def test_keys_are_those_of_an_earlier_version(
    space: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--space", space, "--store", str(tmp_path), "--dry-run", "--json"]) == 0
    keys = {cell["key"] for cell in json.loads(capsys.readouterr().out)["cells"]}
    kept = (HERE / "kept_keys.txt").read_text().splitlines()
    assert sorted(keys) == [line.split()[1] for line in kept if line.split()[0] == space]
