"""InfoBERT: FreeLB with two terms of information theory in each of its passes (Wang et al. 2021).

An upper bound U on what embeddings know of their tokens is kept small, and a lower bound N on the
information between features and what the head reads is kept large: the loss at δ is cross entropy +
upper_weight U - lower_weight N. Features are the tokens whose δ has a gradient of middling length.
δ moves along the gradient of the first two terms (docs/protocol.md, "Training").
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.dtype import whole
from trainables.heads.base import Batch, Head
from trainables.heads.hidden import check_reads_states, read_states, watched, width_of
from trainables.training.freelb import Dropout, FreeLB
from trainables.training.information import Critic, anchored, lower_bound, upper_bound
from trainables.training.perturbation import perturbed


class InfoBERT(FreeLB):
    """settings: those of FreeLB; `upper_weight`, `lower_weight`; `exact` (of the upper bound);
    `keep_from`, `keep_to` (which ranks of tokens are features); `critic_width`.

    Both bounds depend on which texts share a batch, so that a step cannot be divided.
    """

    splits = False

    def build(self, head: Head) -> None:
        check_reads_states(head)
        embedded = head.model.get_input_embeddings().weight.shape[1]
        self.critic = Critic(embedded, width_of(head), self.settings["critic_width"])

    def at(
        self, head: Head, batch: Batch, labels: Tensor, delta: Tensor, dropout: Dropout
    ) -> tuple[Tensor, Tensor | None]:
        upper, lower = self.settings["upper_weight"], self.settings["lower_weight"]
        with perturbed(head, delta), watched(head) as seen, dropout:
            loss = F.cross_entropy(head.score(batch), labels)
        assert seen.embedded is not None and seen.last is not None
        if upper:
            real = batch.attention_mask.bool()
            bound = upper_bound(seen.embedded[real].float(), self.settings["exact"])
            loss = loss + upper * bound
        if not lower:
            return loss, None
        (gradient,) = torch.autograd.grad(loss, delta, retain_graph=True)
        x, z = self.features(seen.embedded, seen.last, gradient, batch)
        with whole(head.device):
            return loss - lower * lower_bound(x, z, self.critic, len(labels)), gradient

    def features(
        self, embedded: Tensor, last: Tensor, gradient: Tensor, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """Features [features, width], each with what the head reads of its sequence; of a sequence
        that is read at several places, their mean. gradient: of δ."""
        keep_from, keep_to = self.settings["keep_from"], self.settings["keep_to"]
        kept = anchored(gradient.norm(dim=2), batch.attention_mask, keep_from, keep_to)
        read = read_states(last, batch).mean(dim=1)
        sequences = kept.nonzero()[:, 0]
        return embedded[kept].float(), read[sequences].float()
