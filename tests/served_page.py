"""The page of `app.py` in a separate process, with a tiny untrained checkpoint, and opened in a browser."""

import copy
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.processing_erc import ErcProcessor
from tests.conftest import BACKBONES, MELS, RATE, SMALL

ROOT = Path(__file__).parents[1]
LABELS = ["joy", "anger", "neutral", "fear"]
# Timeout of any action on the page on a busy machine, in milliseconds.
PATIENCE = 60_000
# Waits until the colours no longer fade into each other; a fade begins with the frame after the new style.
FADED = """async () => {
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
  const fades = document.getAnimations().filter((animation) => animation instanceof CSSTransition);
  await Promise.allSettled(fades.map((fade) => fade.finished));
}"""
# Logs every address that the process of the app looks up or connects to.
WATCH = """
import os, sys

def note(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        with open(os.environ["ERC_TEST_CALLS"], "a") as file:
            print(args[event == "socket.connect"], file=file)

sys.addaudithook(note)
"""


def write_checkpoint(folder: Path, tokenizer: Any, **settings: Any) -> Path:
    """Writes an untrained model of text and audio, with settings of `ErcConfig`."""
    torch.manual_seed(3)
    backbones = {f"{m}_config": copy.deepcopy(BACKBONES[m]) for m in ("text", "audio")}
    config = ErcConfig(**{**SMALL, **backbones, "num_labels": len(LABELS), **settings})
    config.id2label, config.label2id = dict(enumerate(LABELS)), {name: i for i, name in enumerate(LABELS)}
    processor = ErcProcessor(
        tokenizer, WhisperFeatureExtractor(feature_size=MELS, sampling_rate=RATE), modalities=["text", "audio"]
    )
    ErcForSequenceClassification(config).eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@contextmanager
def served(checkpoint: Path, home: Path) -> Iterator[str]:
    """The address of a page that runs in a separate process."""
    environment = {
        **os.environ,
        "HF_HOME": str(home),
        "GRADIO_TEMP_DIR": str(home / "gradio"),
        "ERC_CHECKPOINT": str(checkpoint),
        "PYTHONPATH": str(home),
        "ERC_TEST_CALLS": str(home / "calls.txt"),
    }
    environment.pop("GRADIO_SERVER_NAME", None)
    recogniser = home / "recogniser"
    WhisperConfig().save_pretrained(recogniser)  # its weights are read where there is speech
    (home / "sitecustomize.py").write_text(WATCH)
    log = home / "log.txt"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--device", "cpu", "--transcribe", str(recogniser)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 300)
        line = process.stdout.readline() if ready else ""
        found = re.search(r"answers at (http://127\.0\.0\.1:\d+)/", line)
        assert found, f"{line}{log.read_text()}"
        yield found[1]
        assert process.poll() is None, "the app has stopped"
        calls = set((home / "calls.txt").read_text().splitlines())
        assert calls and all("127.0.0.1" in call or "localhost" in call for call in calls), calls
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def opened_page(browser: Any, address: str, complaints: list[str]) -> Iterator[Any]:
    """The newly opened page; requests to other machines and console errors fail the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page.set_default_timeout(PATIENCE)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_selector("#erc-run")
    yield page
    page.close()
    assert {urlparse(url).hostname for url in asked if url.startswith("http")} == {"127.0.0.1"}, asked
    assert complaints == []


def accessibility_violations(page: Any) -> dict[tuple[int, str], list[Any]]:
    """What axe finds on a wide light page and on a narrow dark one, without what it finds nothing in."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = {}
    for width, scheme in ((1280, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function("dark => document.body.classList.contains('dark') === dark", arg=scheme == "dark")
        page.evaluate(FADED)
        violations = axe.run(page).response["violations"]
        found[width, scheme] = [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in violations]
    return {where: rules for where, rules in found.items() if rules}
