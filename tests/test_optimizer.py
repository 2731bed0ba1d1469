"""AdamW on the rows in use: the same steps as torch's AdamW on the whole table."""

import weakref

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trainables import speed
from trainables.heads.label_words import LabelWordProjection
from trainables.speed.optimizer import AdamW

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

    @property
    def model(self) -> "Tied":
        """As a head has one."""
        return self


def train(model: Tied, optimizer: AdamW, batches: list[list[int]]) -> None:
    for number, ids in enumerate(batches):
        optimizer.zero_grad()
        F.cross_entropy(model(ids), torch.tensor(number % CLASSES)).backward()
        optimizer.step()


def plain_adamw(model: Tied, rate: float, decay: float) -> AdamW:
    with speed.off("optimizer"):
        return AdamW(model, rate, decay)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(texts, min_size=1, max_size=5), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.5]),
)
def test_steps_are_those_of_torchs_adamw(rounds: list[list[list[int]]], decay: float) -> None:
    ours, theirs = Tied(), Tied()
    our_adamw, their_adamw = AdamW(ours, 0.05, decay), plain_adamw(theirs, 0.05, decay)
    for batches in rounds:
        train(ours, our_adamw, batches)
        train(theirs, their_adamw, batches)
        our_adamw.settle()
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_turned_off_it_is_torchs_adamw_to_the_bit() -> None:
    ours, theirs = Tied(), Tied()
    batches = [[1, 2], [3, 3], [11]]
    train(ours, plain_adamw(ours, 0.05, 0.5), batches)
    their_adamw = torch.optim.AdamW(theirs.parameters(), lr=0.05, weight_decay=0.5, fused=True)
    for number, ids in enumerate(batches):
        their_adamw.zero_grad()
        F.cross_entropy(theirs(ids), torch.tensor(number % CLASSES)).backward()
        their_adamw.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_only_words_that_were_met_in_training_are_stepped() -> None:
    model = Tied()
    optimizer = AdamW(model, 0.05, 0.5)
    train(model, optimizer, [[7, 7], [8]])
    optimizer.settle()
    with torch.no_grad():
        model.eval()([9])
    (table,) = optimizer.tables.values()
    assert sorted(table.rows.tolist()) == [1, 2, 4, 7, 8]


def test_a_word_looked_up_for_the_first_time_has_all_its_decay() -> None:
    ours, theirs = Tied(), Tied()
    our_adamw, their_adamw = AdamW(ours, 0.05, 0.5), plain_adamw(theirs, 0.05, 0.5)
    for model, optimizer in ((ours, our_adamw), (theirs, their_adamw)):
        train(model, optimizer, [[7], [8], [7]])
    assert not torch.allclose(ours.embedding.weight[9], theirs.embedding.weight[9])
    torch.testing.assert_close(ours([9]), theirs([9]))


def test_a_table_that_is_used_whole_is_stepped_whole() -> None:
    ours, theirs = Tied(whole_vocabulary=True), Tied(whole_vocabulary=True)
    batches = [[1, 2], [3]]
    our_adamw = AdamW(ours, 0.05, 0.5)
    train(ours, our_adamw, batches)
    our_adamw.settle()
    train(theirs, plain_adamw(theirs, 0.05, 0.5), batches)
    assert not our_adamw.tables
    torch.testing.assert_close(ours.embedding.weight, theirs.embedding.weight)


def test_nothing_of_it_stays_on_the_model() -> None:
    model = Tied()
    optimizer = AdamW(model, 0.05, 0.5)
    train(model, optimizer, [[7]])
    gone = weakref.ref(optimizer)
    del optimizer
    assert gone() is None
    assert not model.embedding._forward_pre_hooks


def test_a_model_without_an_embedding_table_is_stepped_as_it_is() -> None:
    class OtherTable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.EmbeddingBag(WORDS, WIDTH)

    head = OtherTable()
    AdamW(head, 0.05, 0.5)
    assert not head.model.sparse


def test_a_model_that_trains_in_evaluation_mode_reads_current_rows() -> None:
    """A user's head may keep its language model from dropping out."""
    batches = [[step % WORDS, (step + 6) % WORDS] for step in range(8)]
    ours, theirs = Tied().eval(), Tied().eval()
    optimizer = AdamW(ours, 0.1, 0.5)
    train(ours, optimizer, batches)
    train(theirs, plain_adamw(theirs, 0.1, 0.5), batches)
    optimizer.settle()
    torch.testing.assert_close(ours.embedding.weight, theirs.embedding.weight)
