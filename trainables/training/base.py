"""What every kind of training is: the losses of a step, and what they need besides the head."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from search_spaces.catalog import Training as Entry
from search_spaces.errors import BadInput
from trainables.batches import Moment
from trainables.data import Example
from trainables.heads.base import Batch, Head
from trainables.kinds import load_kind

Loss = Callable[[Head, Batch, Tensor, dict[str, Any]], Tensor]


class Attacker(Protocol):
    """Attacks rows with the head as it is now, by the attack that `settings.attack` names."""

    def __call__(self, head: Head, rows: Sequence[Example], round: int) -> Iterator[Example | None]:
        """None for each row when it is attacked; then the adversarial examples that were found,
        with the rows' labels and in their order. A row that the head has wrong already gives none.
        """


class Training(nn.Module):
    """A kind of training, of one fit.

    Its parameters are trained with the head's, at their rate and with weight decay; clipping is of
    the head's gradients alone. They and its buffers (a state from step to step; other attributes
    are lost) are in a stopped fit's snapshot, and never in the stored weights. It must not keep the
    head: methods get it.

    splits: whether a step may be made of parts of the batch where a GPU's memory is too small.
    keeps_rows: whether `new_rows` of earlier rounds stay.
    """

    splits = True
    keeps_rows = True

    def __init__(self, settings: dict[str, Any]) -> None:
        """settings: of the training's catalog file."""
        super().__init__()
        self.settings = settings

    def build(self, head: Head) -> None:
        """Make the parameters and buffers, on the head's device. Called once, before all else."""

    def losses(self, head: Head, batch: Batch, labels: Tensor) -> Iterator[Tensor]:
        """The losses [] of a step, whose sum's gradient it follows.

        The gradients of each are computed before the next is asked for, so no two graphs need be in
        memory at once, and the code here can read `grad` of a tensor of its own in between. labels:
        [texts]. Where a GPU's memory is too small, it is called for each part of the batch, and
        again from the beginning after a part that did not fit: with a state, set splits to False.
        """
        raise NotImplementedError

    def is_due(self, moment: Moment) -> bool:
        """Whether rows are added now, before the next batch; by the moment and settings alone, as
        it is asked again about all moments of a fit that goes on."""
        return False

    def new_rows(
        self, moment: Moment, head: Head, rows: Sequence[Example], attack: Attacker
    ) -> Iterator[Example | None]:
        """The rows to add, each as soon as it is made; None for a row that was tried in vain.

        rows: the clean training rows. All random generators are seeded by the fit's seed and the
        round before, and afterwards are as if nothing had happened.
        """
        yield from ()


class FromFunction(Training):
    """A kind that is a function: head, batch, labels [texts] and settings to a loss []."""

    def __init__(self, loss: Loss, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self._loss = loss

    def losses(self, head: Head, batch: Batch, labels: Tensor) -> Iterator[Tensor]:
        yield self._loss(head, batch, labels, self.settings)


def training_of(entry: Entry, head: Head) -> Training:
    """The training that a catalog entry names, built for a head. Raises BadInput."""
    from trainables.training import KINDS

    code = load_kind("training", entry.kind, KINDS)
    if not isinstance(code, type):
        return FromFunction(code, entry.settings)
    if not issubclass(code, Training):
        raise BadInput(
            f"training kind {entry.kind!r}: the class {code.__name__} is not one of "
            "trainables.training.base.Training; derive it from that, or give a function"
        )
    kind = code(entry.settings)
    kind.build(head)
    if set(map(id, kind.parameters())) & set(map(id, head.parameters())):
        raise BadInput(
            f"training kind {entry.kind!r}: it keeps the head, whose weights would be trained "
            "twice; use the head that its methods get"
        )
    return kind.to(head.device)
