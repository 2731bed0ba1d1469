"""MLflow's page in a real browser, for its test and for the documentation's pictures."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

CHROMIUM = Path("/usr/bin/chromium")
WAIT = 120_000  # milliseconds: the first page of a server that has just started takes long
# The assistant's panel covers a third of the page when it is opened for the first time.
NO_ASSISTANT = """
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
"""
# Sorted by anything but the time, all runs are in one flat list and not below their sweep's.
FLAT = "&orderByKey=" + quote("metrics.`accuracy_under_attack`") + "&orderByAsc=false"


@contextmanager
def server(database: Path, log: Path) -> Iterator[str]:
    """`mlflow server` over a database on loopback; its address."""
    port = _free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{database.resolve()}",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env=environment, cwd=database.parent,
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


class MlflowPage:
    """A browser's page on an MLflow server; `hosts` are all that it has asked anything."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.hosts: set[str] = set()
        self.page.set_default_timeout(WAIT)
        self.page.on("request", self._asked)

    def open(self, path: str) -> None:
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}/#{path}")

    def open_runs(self, search: str) -> None:
        """The experiment's runs that match, in one flat list."""
        self.open(f"/experiments/1/runs?searchFilter={quote(search)}{FLAT}")
        self.wait_for("matching run")

    def open_view(self, key: str, charts: bool = False) -> None:
        mode = "&compareRunsMode=CHART" if charts else ""
        self.open(f"/experiments/1/runs?viewStateShareKey={key}{mode}")
        self.wait_for("matching run")

    def wait_for(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for()

    def run_names(self) -> list[str]:
        """Names of the runs in the list, sorted."""
        links = self.page.locator(".ag-pinned-left-cols-container a, .ag-center-cols-container a")
        names = [name.strip() for name in links.all_inner_texts()]
        return sorted({name for name in names if " · " in name})

    def group_by(self, param: str) -> None:
        self.page.get_by_role("button", name="Group by").click()
        self.page.get_by_role("menuitemcheckbox", name=param, exact=True).click()
        self.page.keyboard.press("Escape")
        self.wait_for("Group: ")

    def group_names(self) -> list[str]:
        found = self.page.get_by_text("Group: ").all_inner_texts()
        return sorted({text.partition("Group:")[2].split()[0] for text in found})

    def compare(self, names: list[str]) -> None:
        """Tick runs by their names, and press Compare."""
        for name in names:
            row = self.page.locator("[role=row]", has=self.page.get_by_text(name, exact=True)).first
            number = row.get_attribute("row-index")
            box = f'[role=row][row-index="{number}"] input[type=checkbox]'
            self.page.locator(box).first.check(force=True)
        self.page.get_by_role("button", name="Compare").click()
        self.wait_for("Comparing 2 Runs")

    def _asked(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about"):
            self.hosts.add(parts.hostname or "")


def new_page(browser: Any) -> Any:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.add_init_script(NO_ASSISTANT)
    return page


@contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()
