"""AdamW on the rows that were met: the steps of torch's AdamW on the whole table."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trainables.heads.label_words import LabelWordProjection
from trainables.speed.optimizer import AdamW, have_sparse_gradients

WORDS, WIDTH, CLASSES = 12, 5, 3
texts = st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=6)


class Tied(nn.Module):
    """Embeddings that are also where label words are looked up, and a layer between."""

    def __init__(self, whole_vocabulary: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.layer = nn.Linear(WIDTH, WIDTH)
        decoder = nn.Linear(WIDTH, WORDS)
        decoder.weight = self.embedding.weight
        words = LabelWordProjection(decoder, torch.tensor([1, 4, 2]))
        self.words = decoder if whole_vocabulary else words

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def forward(self, ids: list[int]) -> Tensor:
        hidden = self.embedding(torch.tensor(ids)).tanh().mean(dim=0)
        scores: Tensor = self.words(self.layer(hidden))
        return scores[:CLASSES]


def train(model: Tied, optimizer: AdamW | torch.optim.AdamW, batches: list[list[int]]) -> None:
    for number, ids in enumerate(batches):
        optimizer.zero_grad()
        if isinstance(optimizer, AdamW):
            optimizer.settle(torch.tensor(ids))
        F.cross_entropy(model(ids), torch.tensor(number % CLASSES)).backward()
        optimizer.step()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(texts, min_size=1, max_size=5), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.5]),
)
def test_steps_are_those_of_torchs_adamw(rounds: list[list[list[int]]], decay: float) -> None:
    ours, theirs = Tied(), Tied()
    have_sparse_gradients(ours)
    our_adamw = AdamW(ours, 0.05, decay)
    their_adamw = torch.optim.AdamW(theirs.parameters(), lr=0.05, weight_decay=decay)
    for batches in rounds:
        train(ours, our_adamw, batches)
        train(theirs, their_adamw, batches)
        our_adamw.settle()
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_only_words_that_were_met_are_stepped() -> None:
    model = Tied()
    have_sparse_gradients(model)
    optimizer = AdamW(model, 0.05, 0.5)
    train(model, optimizer, [[7, 7], [8]])
    (table,) = optimizer.tables.values()
    assert sorted(table.rows.tolist()) == [1, 2, 4, 7, 8]


def test_a_table_that_is_used_whole_is_stepped_whole() -> None:
    ours, theirs = Tied(whole_vocabulary=True), Tied(whole_vocabulary=True)
    have_sparse_gradients(ours)
    batches = [[1, 2], [3]]
    our_adamw = AdamW(ours, 0.05, 0.5)
    train(ours, our_adamw, batches)
    our_adamw.settle()
    train(theirs, torch.optim.AdamW(theirs.parameters(), lr=0.05, weight_decay=0.5), batches)
    assert not our_adamw.tables
    torch.testing.assert_close(ours.embedding.weight, theirs.embedding.weight)


def test_a_model_without_an_embedding_table_is_left_as_it_is() -> None:
    model = nn.EmbeddingBag(WORDS, WIDTH)
    have_sparse_gradients(model)
    assert not model.sparse
