"""Two sweeps never write to one store, and another can take over from a dead one."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from orchestrator.run import lease
from orchestrator.run.lease import Lease
from search_spaces.errors import BadInput
from trainables.store import Store


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.2)
    monkeypatch.setattr(lease, "DEAD_AFTER", 3.0)
    monkeypatch.setattr(lease, "LOOK_EVERY", 0.05)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def test_a_second_driver_is_refused_while_the_first_is_alive(store: Store) -> None:
    with Lease(store):
        with pytest.raises(BadInput, match=f"another sweep writes to .*process {os.getpid()} on"):
            Lease(store).__enter__()
        assert len(store.drivers()) == 1
    assert not store.drivers()
    with Lease(store):
        pass


def test_of_many_at_once_never_two_hold_the_store(store: Store) -> None:
    holding, most, refused = 0, 0, 0
    lock = threading.Lock()

    def drive() -> None:
        nonlocal holding, most, refused
        try:
            with Lease(store):
                with lock:
                    holding += 1
                    most = max(most, holding)
                time.sleep(1.0)
                with lock:
                    holding -= 1
        except BadInput:
            with lock:
                refused += 1

    for _ in range(3):
        threads = [threading.Thread(target=drive) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == 1
    assert refused < 15, "nobody ever got the store"
    assert not store.drivers()


def test_a_killed_drivers_place_is_taken_at_once(store: Store) -> None:
    code = (
        "import sys, time; from orchestrator.run.lease import Lease;"
        "from trainables.store import Store;"
        "Lease(Store(sys.argv[1])).__enter__(); print('held', flush=True); time.sleep(60)"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", code, store.url], stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None and driver.stdout.readline() == "held\n"
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert len(store.drivers()) == 1
    with Lease(store) as mine:
        assert set(store.drivers()) == {mine.id}


def test_a_silent_driver_of_another_machine_is_taken_for_dead(store: Store) -> None:
    elsewhere = {"machine": "elsewhere", "pid": 1, "count": 7, "state": "holding"}
    store.write_driver("0" * 32, elsewhere)
    with Lease(store) as mine:
        assert set(store.drivers()) == {mine.id}


def test_a_driver_whose_place_was_taken_hears_of_it(store: Store) -> None:
    with Lease(store) as mine:
        assert not mine.lost.is_set()
        store.remove_driver(mine.id)
        assert mine.lost.wait(10)
        assert not store.drivers()
