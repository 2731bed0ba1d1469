"""FreeLB and FreeLB++: the mean of the losses along a path of perturbations that makes them large.

δ starts at random and is moved K - 1 times along the gradient of its loss, which is normalised; the
update follows the mean of the gradients at all K points, the random start among them. FreeLB (Zhu
et al., ICLR 2020) keeps δ in a ball; FreeLB++ (Li et al., EMNLP 2021) does not, and takes more
steps. All K passes have the same dropout masks, as in FreeLB's code (docs/protocol.md, "Training").
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch.nn.functional as F
from torch import Tensor

from trainables.heads.base import Batch, Head
from trainables.random_states import Repeated
from trainables.training.base import Training
from trainables.training.perturbation import length, perturbed, project, real, uniform

Dropout = AbstractContextManager[None]
LEAST = 1e-8  # length of a gradient that is divided by


class FreeLB(Training):
    """settings: `steps` (K), `step_size`, `start_size` (of δ before the first step), `bound`
    (radius of the ball; null: none), `norm` (l2 or linf, over a sequence), `same_dropout`."""

    def losses(self, head: Head, batch: Batch, labels: Tensor) -> Iterator[Tensor]:
        steps = self.settings["steps"]
        dropout: Dropout = nullcontext()
        if self.settings["same_dropout"]:
            dropout = Repeated(head.device)
        delta = self.start(head, batch)
        for step in range(steps):
            delta.requires_grad_(True)
            loss, gradient = self.at(head, batch, labels, delta, dropout)
            yield loss / steps
            if step < steps - 1:
                gradient = delta.grad if gradient is None else gradient
                assert gradient is not None
                delta = self.moved(delta.detach(), gradient, batch)

    def at(
        self, head: Head, batch: Batch, labels: Tensor, delta: Tensor, dropout: Dropout
    ) -> tuple[Tensor, Tensor | None]:
        """The loss [] at δ, and what δ is to be moved along; None for the loss's gradient.

        dropout: a context for what draws dropout masks.
        """
        with perturbed(head, delta), dropout:
            return F.cross_entropy(head.score(batch), labels), None

    def start(self, head: Head, batch: Batch) -> Tensor:
        """δ before the first step [sequences, length, width]; for l2, of about `start_size` / √3,
        whatever the length of the sequence."""
        size = self.settings["start_size"]
        drawn = (2 * uniform(head, batch) - 1) * real(batch)
        if self.settings["norm"] == "linf":
            return drawn * size
        numbers = real(batch).sum(dim=1, keepdim=True) * drawn.shape[2]
        return drawn * size / numbers.sqrt()

    def moved(self, delta: Tensor, gradient: Tensor, batch: Batch) -> Tensor:
        """δ after a step along a gradient, brought back to the bound if there is one."""
        norm, bound = self.settings["norm"], self.settings["bound"]
        gradient = gradient * real(batch)
        step = gradient / length(gradient, norm).clamp_min(LEAST)
        moved = delta + self.settings["step_size"] * step
        return moved if bound is None else project(moved, norm, bound)
