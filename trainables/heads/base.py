"""What every head is: a torch module from texts to class logits, and its weights as bytes."""

from collections.abc import Sequence
from itertools import chain

import safetensors.torch
import torch
from torch import Tensor, nn

Texts = Sequence[tuple[str, ...]]


class Head(nn.Module):
    """Maps a batch of texts (one or two columns each) to logits of shape [batch, classes]."""

    def forward(self, texts: Texts) -> Tensor:
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @torch.no_grad()
    def predict(self, texts: Texts, batch_size: int) -> Tensor:
        """Logits [len(texts), classes] on the CPU, in evaluation mode and in the order given.

        Texts of like length share a batch, so that little of it is padding.
        """
        self.eval()
        by_length = sorted(range(len(texts)), key=lambda i: sum(map(len, texts[i])))
        parts = [
            self([texts[i] for i in by_length[start : start + batch_size]]).cpu()
            for start in range(0, len(texts), batch_size)
        ]
        logits = torch.cat(parts)
        back = torch.empty(len(texts), dtype=torch.long)
        back[torch.tensor(by_length)] = torch.arange(len(texts))
        return logits[back]

    def to_bytes(self) -> bytes:
        """All weights as safetensors. Tied weights are kept once."""
        return safetensors.torch.save(
            {name: tensor.contiguous().cpu() for name, tensor in self._weights().items()}
        )

    def load_bytes(self, content: bytes) -> None:
        """Load what `to_bytes` gave. Raises ValueError where the names differ."""
        weights = safetensors.torch.load(content)
        if set(weights) != set(self._weights()):
            raise ValueError("the stored weights belong to another kind of model")
        self.load_state_dict(weights, strict=False)

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of all weights, to come back to with `restore`."""
        return {name: tensor.detach().clone() for name, tensor in self._weights().items()}

    def restore(self, weights: dict[str, Tensor]) -> None:
        self.load_state_dict(weights, strict=False)

    def _weights(self) -> dict[str, Tensor]:
        # named_parameters() names a tied weight once, unlike state_dict().
        kept = set(self.state_dict())
        named = chain(self.named_parameters(), self.named_buffers())
        return {name: tensor.data for name, tensor in named if name in kept}
