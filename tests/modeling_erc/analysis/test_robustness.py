import numpy as np
import pytest

from modeling_erc.analysis.robustness import Curve, csv_rows, markdown


def curve(checkpoint: str, scores: list[list[float]], clean: float = 0.8, strength: str = "", **changes: str) -> Curve:
    named = {"modality": "audio", "corruption": "drop", **changes}
    return Curve(checkpoint, strength=strength, shares=(0.0, 0.25, 1.0), scores=np.array(scores), clean=clean, **named)


def test_loss_is_against_clean_and_interpolated_between_shares() -> None:
    # Means 0.8, 0.7, 0.4; at 0.5, a third of the way, 0.6.
    found = curve("a", [[0.8, 0.72, 0.4], [0.8, 0.68, 0.4]])
    assert found.loss(0.25) == pytest.approx(0.1)
    assert found.loss(0.5) == pytest.approx(0.2)
    # Trapezoids: 0.25 * 0.75 + 0.75 * 0.55 = 0.6.
    assert found.area == pytest.approx(0.2)
    np.testing.assert_allclose(found.deviation, [0.0, np.sqrt(2 * 0.02**2), 0.0], atol=1e-12)


def test_a_share_that_was_not_measured_has_no_loss() -> None:
    found = Curve("a", "audio", "drop", "", (0.75, 1.0), np.array([[0.5, 0.4]]), clean=0.8)
    assert np.isnan(found.loss(0.5))
    assert found.area == pytest.approx(0.35)
    assert markdown([found], "test").splitlines()[-1] == "| audio: missing |  | a | 0.500 ± 0.000 | 0.400 |  | 0.350 |"


def test_table_has_a_row_a_curve_and_says_what_clean_is() -> None:
    curves = [curve("a", [[0.8, 0.72, 0.4], [0.8, 0.68, 0.4]]), curve("b", [[0.9, 0.9, 0.9]], clean=0.9)]
    text = markdown(curves, "dev")
    assert "Clean: a 0.8000, b 0.9000" in text
    assert "on dev" in text
    lines = text.splitlines()
    assert lines[2].split(" | ")[3:] == ["p = 0", "p = 0.25", "p = 1", "lost at p = 0.5", "lost, mean |"]
    assert lines[4] == "| audio: missing |  | a | 0.800 | 0.700 ± 0.028 | 0.400 | 0.200 | 0.200 |"
    assert lines[5] == "| audio: missing |  | b | 0.900 | 0.900 ± 0.000 | 0.900 | 0.000 | 0.000 |"


def test_csv_has_a_row_a_point() -> None:
    header, *rows = csv_rows([curve("a", [[0.8, 0.7, 0.4]], strength="0 dB", corruption="noise")])
    assert len(rows) == 3
    found = dict(zip(header, rows[1], strict=True))
    assert found == {
        "checkpoint": "a",
        "modality": "audio",
        "corruption": "noise",
        "strength": "0 dB",
        "share": "0.25",
        "weighted_f1": "0.700000",
        "deviation": "0.000000",
        "lost": "0.100000",
        "seeds": "1",
    }
