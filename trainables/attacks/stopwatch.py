"""Where an attack's time goes: seconds spent in the code that is timed."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from trainables.attacks.lockstep import own_time

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Stopwatch:
    """A context manager; `seconds` adds up the time spent inside. Not reentrant."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = own_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += own_time() - self._began

    def watching(self, function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        """The function, with its time counted."""

        def watched(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
            with self:
                return function(*arguments, **named)

        return watched
