"""Many jobs at once in one thread, whose questions are answered in few large batches.

A job is a function that calls `ask`: each runs in a greenlet of its own, which stops there until
its question is answered, with those of other jobs. Its code need not know: TextAttack's search asks
through its victim, deep in its own calls. Each job has its own random states and its own time.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from greenlet import getcurrent, greenlet

from trainables.device import is_gpu_error

Result = TypeVar("Result")
Answer = Callable[[list[Any]], Sequence[Any]]  # of some questions, an answer to each


def ask(answer: Answer, question: Any, last: bool = False) -> Any:
    """`answer` of this question and of those that other jobs ask it; alone outside of `run`.

    answer: equal for questions that may be answered together; an answer must not depend on the
    other questions. last: answered only once every job has such a question. Raises what `answer`
    raises of this question alone.
    """
    job = getcurrent()
    if isinstance(job, Job):
        return job.asks(answer, question, last)
    return answer([question])[0]


def own_time() -> float:
    """Seconds of a clock that counts this job's time alone, with its share of what is answered
    together; outside of `run` those of time.perf_counter."""
    job = getcurrent()
    return job.time() if isinstance(job, Job) else time.perf_counter()


def run(begin: Callable[[], Callable[[], Result] | None], at_once: int) -> Iterator[list[Result]]:
    """The results of jobs, as soon as they have ended; those that ended together, in their order.

    begin: the next job, or None if none may begin now: it is asked again when one has ended, and
    no job is left once it is None while none runs. at_once: how many run at most. Raises what a job
    raises, and the errors of a GPU; the other jobs then end where they are. To be read, and closed,
    by one thread.
    """
    live: list[Job[Result]] = []
    try:
        while True:
            while len(live) < at_once and (job := begin()) is not None:
                live.append(Job(job))
                live[-1].go_on()
            failed: Exception | None = None
            if not any(job.ended for job in live):
                if not live:
                    return
                try:
                    _answer(live)
                except Exception as error:
                    failed = error
            ended = [job for job in live if job.ended]
            live = [job for job in live if not job.dead]
            if ended:
                yield [job.result for job in ended]
            if failed is not None:
                raise failed
    finally:
        for job in live:
            if not job.dead:
                job.throw()


class Job(greenlet, Generic[Result]):
    """A function that runs until it asks, and goes on when it is answered."""

    result: Result

    def __init__(self, function: Callable[[], Result]) -> None:
        super().__init__(self._run)
        self._function = function
        self._states = _random_states()
        self._spent, self._since = 0.0, 0.0
        self.answer: Answer
        self.question: Any = None
        self.last = False

    @property
    def ended(self) -> bool:
        """Whether it has a result."""
        return hasattr(self, "result")

    def asks(self, answer: Answer, question: Any, last: bool) -> Any:
        """Called in the job: stops it until it is answered."""
        self.answer, self.question, self.last = answer, question, last
        assert self.parent is not None
        return self.parent.switch()

    def go_on(self, answer: Any = None, error: Exception | None = None) -> None:
        """Let it run until it asks again or ends, as if nothing had happened meanwhile."""
        gradients = torch.is_grad_enabled()
        _restore(self._states)
        self._since = time.perf_counter()
        try:
            self.throw(error) if error is not None else self.switch(answer)
        finally:
            self._spent += time.perf_counter() - self._since
            self._states = _random_states()
            torch.set_grad_enabled(gradients)

    def took(self, seconds: float) -> None:
        """Add its share of what was answered together to its time."""
        self._spent += seconds

    def time(self) -> float:
        """Its own seconds so far; called in the job."""
        return self._spent + time.perf_counter() - self._since

    def _run(self, _: Any = None) -> None:
        self.result = self._function()


def _answer(live: Sequence["Job[Any]"]) -> None:
    """Answer the most frequent kind of question; those that are last if there are no others."""
    early = [job for job in live if not job.last] or live
    by_kind: dict[Answer, list[Job[Any]]] = {}
    for job in early:
        by_kind.setdefault(job.answer, []).append(job)
    answer, jobs = max(by_kind.items(), key=lambda kind: len(kind[1]))
    began = time.perf_counter()
    try:
        answers = answer([job.question for job in jobs])
    except Exception as error:
        if is_gpu_error(error):
            raise
        if len(jobs) == 1:
            jobs[0].took(time.perf_counter() - began)
            jobs[0].go_on(error=error)
            return
        for job in jobs:
            _answer_alone(job)
        return
    seconds = time.perf_counter() - began
    lengths = [len(job.question) for job in jobs]
    for job, length, each in zip(jobs, lengths, answers, strict=True):
        job.took(seconds * length / max(sum(lengths), 1))
        job.go_on(each)


def _answer_alone(job: "Job[Any]") -> None:
    """One of the questions cannot be answered: only the job that asked it gets the error."""
    began = time.perf_counter()
    found: Any = None
    failed: Exception | None = None
    try:
        (found,) = job.answer([job.question])
    except Exception as error:
        if is_gpu_error(error):
            raise
        failed = error
    job.took(time.perf_counter() - began)
    job.go_on(found, failed)


def _random_states() -> tuple[Any, ...]:
    """What one job must not change for another: the global generators, and whether torch keeps
    gradients, which is the thread's."""
    of_gpu = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
    of_cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    return *of_cpu, of_gpu, torch.is_grad_enabled()


def _restore(states: tuple[Any, ...]) -> None:
    of_random, of_numpy, of_torch, of_gpu, gradients = states
    if of_gpu is not None:
        torch.cuda.set_rng_state(of_gpu)
    random.setstate(of_random)
    np.random.set_state(of_numpy)
    torch.set_rng_state(of_torch)
    torch.set_grad_enabled(gradients)
