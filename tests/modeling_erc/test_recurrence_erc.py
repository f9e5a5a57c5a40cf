import pytest
import torch
from torch import Tensor, nn

from modeling_erc.layers_erc import run_gru

LENGTHS = torch.tensor([5, 1, 7, 4])


def packed(gru: nn.GRU, rows: Tensor, lengths: Tensor) -> Tensor:
    """PyTorch's own way."""
    sequence = nn.utils.rnn.pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
    output: Tensor = nn.utils.rnn.pad_packed_sequence(gru(sequence)[0], batch_first=True)[0]
    return output


def make(bidirectional: bool, layers: int = 1, dtype: torch.dtype = torch.float64) -> tuple[nn.GRU, Tensor]:
    torch.manual_seed(0)
    gru = nn.GRU(3, 4, num_layers=layers, batch_first=True, bidirectional=bidirectional, dtype=dtype)
    return gru, torch.randn(4, 7, 3, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_outputs_and_gradients_are_those_of_pytorch(bidirectional: bool, layers: int) -> None:
    gru, rows = make(bidirectional, layers)
    weights = [rows, *gru.parameters()]
    expected = packed(gru, rows, LENGTHS)
    upstream = torch.randn_like(expected)
    expected_gradients = torch.autograd.grad(expected, weights, upstream)

    found = run_gru(gru, rows, LENGTHS)
    torch.testing.assert_close(found, expected)
    for gradient, reference in zip(torch.autograd.grad(found, weights, upstream), expected_gradients, strict=True):
        torch.testing.assert_close(gradient, reference)


def test_gradients_are_those_of_differences() -> None:
    gru, rows = make(bidirectional=True)
    assert torch.autograd.gradcheck(lambda rows: run_gru(gru, rows, LENGTHS), rows)


def test_what_lies_behind_a_row_s_end_changes_nothing() -> None:
    gru, rows = make(bidirectional=True)
    other = rows.detach().clone()
    other[0, 5:] = 1e6
    torch.testing.assert_close(run_gru(gru, other, LENGTHS), run_gru(gru, rows, LENGTHS))
    assert not run_gru(gru, other, LENGTHS)[0, 5:].any()


def test_single_precision_stays_single() -> None:
    gru, rows = make(bidirectional=True, dtype=torch.float32)
    output = run_gru(gru, rows, LENGTHS)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output, packed(gru, rows, LENGTHS))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_an_accelerator_gives_the_same() -> None:
    gru, rows = make(bidirectional=True, dtype=torch.float32)
    expected = run_gru(gru, rows, LENGTHS)
    # cuDNN rounds products to 10 bits by default.
    with torch.backends.cudnn.flags(allow_tf32=False):
        output = run_gru(gru.cuda(), rows.cuda(), LENGTHS.cuda())
    torch.testing.assert_close(output.cpu(), expected, atol=1e-5, rtol=1e-4)
