"""Matrix multiplication by oneDNN: torch's own numbers, whatever the other rows are."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from trainables import speed
from trainables.speed.linear import linear, pairwise, products, use_onednn

IN, OUT = 48, 32


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 40), max_size=2),
    bias=st.booleans(),
    learned=st.sets(st.sampled_from(["x", "weight", "bias"])),
    strided=st.booleans(),
)
def test_results_and_gradients_are_torchs(
    shape: list[int], bias: bool, learned: set[str], strided: bool
) -> None:
    x = drawn(*shape, 2, IN)[..., 0, :] if strided else drawn(*shape, IN)
    of = {"x": x, "weight": drawn(OUT, IN)} | ({"bias": drawn(OUT)} if bias else {})
    found, gradients = [], []
    for plain in (False, True):
        inputs = {k: v.clone().requires_grad_(k in learned) for k, v in of.items()}
        with speed.off() if plain else nullcontext():
            result = linear(**inputs)
        wanted = [tensor for tensor in inputs.values() if tensor.requires_grad]
        found.append(result.detach())
        gradients.append(torch.autograd.grad(result.square().sum(), wanted) if wanted else ())
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(*gradients, atol=1e-2, rtol=1e-4)


@pytest.mark.usefixtures("two_threads")
def test_neither_company_nor_threads_change_a_row() -> None:
    x, weight = drawn(300, IN), drawn(OUT, IN)
    many = linear(x, weight)
    torch.set_num_threads(1)
    for start, end in ((0, 1), (7, 8), (5, 38), (100, 300)):
        assert torch.equal(linear(x[start:end], weight), many[start:end])


@pytest.mark.usefixtures("two_threads")
def test_products_of_several_matrices_depend_on_no_others() -> None:
    x, weights, many = drawn(6, 70, IN), drawn(6, IN, OUT), drawn(70, IN, 8)
    for threads in (2, 1):
        torch.set_num_threads(threads)
        whole = products(x, weights)
        torch.testing.assert_close(whole, torch.bmm(x, weights), atol=1e-4, rtol=1e-4)
        for count in (1, 2, 3, 5, 17, 64):
            assert torch.equal(products(x[:, :count], weights), whole[:, :count])
        left = drawn(70, 6, IN)
        pairs = pairwise(left, many)
        torch.testing.assert_close(pairs, torch.bmm(left, many), atol=1e-4, rtol=1e-4)
        for count in (1, 2, 3, 69):
            assert torch.equal(pairwise(left[:count], many[:count]), pairs[:count])


def test_layers_of_a_model_keep_their_weights_and_names() -> None:
    model = nn.Sequential(nn.Linear(IN, OUT), nn.ReLU(), Conv1D(IN, OUT))
    x, names = drawn(3, 5, IN), list(model.state_dict())
    before = model(x)
    use_onednn(model)
    assert not any(type(module) in (nn.Linear, Conv1D) for module in model)
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model(x), before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_numbers_than_float32_are_torchs_own(dtype: torch.dtype) -> None:
    x, weight = drawn(9, IN).to(dtype), drawn(OUT, IN).to(dtype)
    assert torch.equal(linear(x, weight), F.linear(x, weight))


def test_second_derivatives_are_torchs() -> None:
    found = []
    for function in (linear, F.linear):
        x, weight = drawn(9, IN).requires_grad_(), drawn(OUT, IN).requires_grad_()
        loss = function(x, weight).tanh().sum()
        (of_x,) = torch.autograd.grad(loss, x, create_graph=True)
        found.append(torch.autograd.grad(of_x.square().sum(), [x, weight]))
    torch.testing.assert_close(*found, atol=1e-2, rtol=1e-3)


def test_a_part_of_a_larger_matrix_is_multiplied_as_any_other() -> None:
    """Bit by bit: oneDNN has a kernel of its own for such parts, a hundred times slower."""
    x, part = drawn(9, IN), drawn(IN, 3 * OUT).t()[:OUT]
    assert torch.equal(linear(x, part), linear(x, part.contiguous()))


def test_nothing_times_a_matrix_is_nothing() -> None:
    assert linear(torch.empty(0, IN), drawn(OUT, IN)).shape == (0, OUT)
