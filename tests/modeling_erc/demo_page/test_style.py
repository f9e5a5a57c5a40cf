"""Colours of the style sheet."""

import re

import pytest

pytest.importorskip("gradio")

from modeling_erc.demo_page.style import CSS, theme
from modeling_erc.timelines.speakers import SPEAKERS


def luminance(channels: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def channels(colour: str) -> list[float]:
    return [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]


@pytest.mark.parametrize("speaker", SPEAKERS)
@pytest.mark.parametrize(("scheme", "other"), [("", "black"), (".dark ", "white")])
def test_lines_of_speakers_have_the_contrast_of_graphics_in_both_schemes(speaker: str, scheme: str, other: str) -> None:
    found = re.search(
        rf"^{scheme}\.erc-voice {{ color: color-mix\(in srgb, var\(--colour\) (\d+)%, {other}\)", CSS, re.M
    )
    assert found
    own, end = int(found[1]) / 100, float(other == "white")
    ground = channels(theme().neutral_800) if scheme else [1.0, 1.0, 1.0]
    light, dark = sorted([luminance([own * c + (1 - own) * end for c in channels(speaker)]), luminance(ground)])[::-1]
    assert (light + 0.05) / (dark + 0.05) >= 3, "WCAG 2.1, 1.4.11"
