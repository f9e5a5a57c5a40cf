import pytest
import torch

from modeling_erc.encoders_erc import mask_spans


@pytest.mark.parametrize("shape", [(6, 400), (6, 80, 200), (6, 3, 64, 64)], ids=["wave", "frames", "image"])
def test_blanked_places_take_the_mean_of_their_row_and_the_rest_stays(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    values = torch.randn(shape)
    masked = mask_spans(values, share=0.3)
    changed = masked != values
    assert changed.any() and not changed.all()
    mean = values.flatten(1).mean(dim=1)
    for row in range(len(values)):
        torch.testing.assert_close(masked[row][changed[row]], mean[row].expand(int(changed[row].sum())))


def test_no_span_is_longer_than_its_share() -> None:
    torch.manual_seed(0)
    for _ in range(50):
        silent = mask_spans(torch.randn(8, 100), share=0.1) - 0
        repeated = (silent[:, 1:] == silent[:, :-1]).sum(dim=1)
        assert repeated.max() <= 2 * 10


def test_rows_are_masked_each_in_its_own_way_and_nothing_at_share_zero() -> None:
    torch.manual_seed(0)
    values = torch.randn(1, 40, 60).expand(5, -1, -1)
    masked = mask_spans(values, share=0.5)
    assert all(not torch.equal(masked[0], masked[row]) for row in range(1, 5))
    assert torch.equal(mask_spans(values, share=0.0), values)
