"""A short run of the chaos harness; `make chaos N=100` is the long one."""

from pathlib import Path

from chaos import run


def test_a_sweep_killed_at_random_moments_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    run(kills=2, seed=1, kinds=["driver", "worker"], folder=tmp_path)
