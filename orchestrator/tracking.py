"""The only module that talks to MLflow, from the driver alone.

Experiment = space; one parent run "sweep"; under it one run a cell, found again by its cell key, so
that a resumed sweep logs nothing twice. All that is logged comes from the store, so whatever a dead
driver or an unreachable server left out is logged by the next `sync`.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from orchestrator.checks import connection_error
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from trainables.store import Store


def check_tracking_server(uri: str) -> None:
    """Raises BadInput where an http(s) tracking server does not answer, or the URI is no store."""
    parsed = urlparse(uri)
    if parsed.scheme in ("http", "https"):
        address = (parsed.hostname or "", parsed.port or (443 if parsed.scheme == "https" else 80))
        if error := connection_error(*address):
            raise BadInput(
                f"the tracking server {uri} does not answer ({error}); start it, or leave "
                "--tracking-uri out to track into the store"
            )
    elif parsed.scheme not in ("sqlite", "postgresql", "mysql", "mssql"):
        raise BadInput(
            f"--tracking-uri {uri}: give http://HOST:PORT or a database like sqlite:///mlflow.db"
        )


class Tracker:
    """Logs finished cells of one space. Raises BadInput when the store of runs cannot be opened."""

    def __init__(self, uri: str, space: str, artifacts: str | None) -> None:
        """artifacts: where MLflow keeps files; None leaves that to the tracking server."""
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        self.uri = uri
        try:
            self.client = MlflowClient(tracking_uri=uri)
            experiment = self.client.get_experiment_by_name(space)
            self.experiment_id: str = (
                experiment.experiment_id
                if experiment
                else self.client.create_experiment(space, artifact_location=artifacts)
            )
        except (MlflowException, OSError) as error:
            raise BadInput(f"--tracking-uri {uri}: cannot be used: {_line(error)}") from None
        self.runs = {run.data.tags["cell_key"]: run for run in self._search("tags.kind = 'cell'")}

    def sync(self, cells: Iterable[Cell], store: Store) -> int:
        """Log each finished cell that is not logged yet; returns how many were."""
        missing = [cell for cell in cells if not self._is_logged(cell.key)]
        for cell in missing:
            self.log_cell(cell, store)
        return len(missing)

    def log_cell(self, cell: Cell, store: Store) -> None:
        """Log one finished cell: axes and settings, metrics, the fit's curve, the examples."""
        if self._is_logged(cell.key):
            return
        result, fit = store.read_result(cell.key), store.read_fit(cell.fit.key)
        run_id = self._run_of(cell)
        others = store.evaluations(cell.fit.key)
        elsewhere = {f"accuracy_on_{r['dataset']}": r["accuracy"] for r in others.values()}
        self._log_metrics(run_id, {**result["metrics"], **elsewhere}, fit)
        records = store.attacked(cell.log)
        self._log_examples(run_id, [records[id] for id in result["sample"]])
        self.client.set_terminated(run_id, "FINISHED")
        self.runs[cell.key] = self.client.get_run(run_id)

    def log_summary(self, table: str) -> None:
        """Put the comparison on the parent run."""
        run_id = self._parent()
        self.client.log_text(run_id, table, "comparison.md")
        self.client.set_terminated(run_id, "FINISHED")

    def _is_logged(self, key: str) -> bool:
        return key in self.runs and self.runs[key].info.status == "FINISHED"

    def _run_of(self, cell: Cell) -> str:
        """The run of a cell: the one a dead driver left unfinished, or a new one."""
        from mlflow.entities import Param

        if cell.key in self.runs:
            return str(self.runs[cell.key].info.run_id)
        run = self.client.create_run(
            self.experiment_id,
            run_name=cell.key,
            tags={
                "kind": "cell",
                "cell_key": cell.key,
                "fit_key": cell.fit.key,
                "attack_resources": cell.attack_resources,
                "mlflow.parentRunId": self._parent(),
            },
        )
        settings = {f"fit.{k}": v for k, v in cell.fit.settings.model_dump().items()}
        settings |= {f"attack.{k}": v for k, v in cell.attack_settings.items()}
        params = [Param(k, str(v)) for k, v in {**cell.axes(), **settings}.items()]
        self.client.log_batch(run.info.run_id, params=params)
        self.runs[cell.key] = run
        return str(run.info.run_id)

    def _log_metrics(self, run_id: str, metrics: dict[str, Any], fit: dict[str, Any]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        single = {
            **metrics,
            "validation_accuracy": fit["validation_accuracy"],
            "test_accuracy": fit["test_accuracy"],
            "fit_seconds": fit["seconds"],
        }
        logged = [Metric(k, float(v), now, 0) for k, v in single.items() if v is not None]
        for point in fit["curve"]:
            step = int(point["examples_seen"])
            for name in ("train_loss", "validation_accuracy"):
                logged.append(Metric(f"curve/{name}", float(point[name]), now, step))
        self.client.log_batch(run_id, metrics=logged)

    def _log_examples(self, run_id: str, records: list[dict[str, Any]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "examples.jsonl"
            file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records))
            self.client.log_artifact(run_id, str(file))

    def _parent(self) -> str:
        """The parent run of the space's cells, made when first needed."""
        found = self._search("tags.kind = 'sweep'")
        if found:
            return str(found[0].info.run_id)
        run = self.client.create_run(self.experiment_id, run_name="sweep", tags={"kind": "sweep"})
        return str(run.info.run_id)

    def _search(self, filter_string: str) -> list[Any]:
        runs: list[Any] = []
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], filter_string, max_results=1000, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
