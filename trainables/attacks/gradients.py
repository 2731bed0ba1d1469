"""How much a head's loss depends on each word of a text: the gradient at its input embeddings.

For searches and swaps of TextAttack that read gradients, which ask `Victim.get_grad`. The unit is a
word, not a token: TextAttack aligns words with tokens by their spelling, and goes wrong where a
token has another one (a letter whose lower case is two), or a word is not read. Here the tokenizer
says which characters a token was made of. Import after `prepare_textattack`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces.errors import BadInput
from trainables.attacks.rules import text_of
from trainables.dtype import forward_pass, products
from trainables.heads.base import Head, Traced


@dataclass(frozen=True)
class WordGradients:
    """Of a text's words. ids: each word's first token [words]; 0 for a word that is not read.
    gradient: float32 [words, width]; zeros for a word that is not read."""

    ids: np.ndarray
    gradient: np.ndarray


def check_gradients(head: Head, columns: int) -> None:
    """Raises BadInput if a head cannot say which tokens are made of a text's columns."""
    head.eval()
    try:
        head.traced(("a",) * columns)
    except NotImplementedError as error:
        raise BadInput(
            "this attack orders words by the head's gradient, and the head does not say which "
            f"tokens are a text's ({error}); define `traced` as trainables/heads/project_cls.py "
            "does, use a fast tokenizer, or leave this attack out"
        ) from None


def words_of(text: tuple[str, ...]) -> list[str]:
    """The words of an example's columns, as attacks count them."""
    words: list[str] = text_of([str(number) for number in range(len(text))], text).words
    return words


def word_gradients(head: Head, text: tuple[str, ...]) -> WordGradients:
    """Mean over each word's tokens of `token_gradients`, as TextAttack has it."""
    head.eval()
    traced = head.traced(text)
    by_token = token_gradients(head, traced).numpy()
    ids = dict(zip(traced.tokens.flatten().tolist(), _ids(traced), strict=True))
    words = words_of(text)
    found = WordGradients(
        np.zeros(len(words), np.int64), np.zeros((len(words), by_token.shape[1]), np.float32)
    )
    for number, tokens in enumerate(tokens_of(text, words, traced.spans)):
        if read := [token for token in tokens if token in ids]:
            found.ids[number] = ids[read[0]]
            found.gradient[number] = by_token[read].mean(axis=0)
    return found


def _ids(traced: Traced) -> list[int]:
    found: list[int] = traced.batch.inputs["input_ids"].flatten().tolist()
    return found


def token_gradients(head: Head, traced: Traced) -> Tensor:
    """The gradient of the cross entropy of the label that the head gives [tokens of the text,
    width], on the CPU; zeros for tokens that are not read.

    With regard to the embedding of each token, in evaluation mode (TextAttack's has dropout). All
    templates share that embedding, so their gradients add up: the number of templates times their
    average, which orders words alike. Gradients of parameters are neither used nor changed. A
    text's gradient is computed alone, so it does not depend on other texts.
    """
    head.eval()
    embedded: list[Tensor] = []

    def keep(_layer: object, _inputs: object, output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    hook = head.model.get_input_embeddings().register_forward_hook(keep)
    try:
        with torch.enable_grad(), products(head.dtype):
            with forward_pass(head.dtype, head.device):
                logits = head.score(traced.batch.to(head.device)).float()
            loss = F.cross_entropy(logits, logits.argmax(dim=1))
            (gradient,) = torch.autograd.grad(loss, embedded)
    finally:
        hook.remove()
    by_place = gradient.float().cpu().flatten(0, 1)
    tokens = traced.tokens.flatten()
    own = tokens >= 0
    zeros = torch.zeros(len(traced.spans), by_place.shape[1])
    return zeros.index_add(0, tokens[own], by_place[own])


def tokens_of(
    text: tuple[str, ...], words: Sequence[str], spans: Sequence[tuple[int, int]]
) -> list[list[int]]:
    """The numbers of the tokens of each word: those that share a character with it.

    spans: as in Traced. The space before a word is its own where it is a token by itself.
    """
    joined, end = "\n".join(text), 0
    whole = [(s + len(joined[s:e]) - len(joined[s:e].lstrip(" ")), e) for s, e in spans]
    starts, ends = np.array(whole, np.int64).reshape(-1, 2).T
    found: list[list[int]] = []
    for word in words:
        start = joined.index(word, end)
        end = start + len(word)
        shared = (starts < end) & (ends > start)
        space = (starts == start) & (ends == start)
        found.append(np.flatnonzero(shared | space).tolist())
    return found
