"""A short run of the chaos harness; `make chaos N=100` is the long one."""

import shutil
import tempfile
from pathlib import Path

import pytest
from chaos import run


@pytest.mark.slow
def test_a_sweep_killed_at_random_moments_ends_as_if_nothing_had_happened() -> None:
    # Not in tmp_path: Ray's sockets need a short path. It is kept when this fails.
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    run(kills=2, seed=1, kinds=["driver", "worker"], folder=folder)
    shutil.rmtree(folder)
