"""Large imports run with garbage collection paused; other objects are still collected."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from trainables.speed.imports import gc_paused


class Circle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_what_is_made_in_the_block_stays_and_what_was_garbage_before_goes() -> None:
    before = weakref.ref(Circle())
    with gc_paused():
        within = weakref.ref(Circle())
    after = weakref.ref(Circle())
    gc.collect()
    assert (before(), after()) == (None, None)
    assert within() is not None


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_left_as_it_was(on: bool) -> None:
    if not on:
        gc.disable()
    with pytest.raises(ImportError), gc_paused():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled() == on
