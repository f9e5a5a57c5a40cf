"""The page in a real browser: a separate process, a tiny untrained checkpoint, Chromium, and loopback only."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import matplotlib.image
import pytest

from modeling_erc import EmotionRecognitionPipeline, ErcForSequenceClassification
from modeling_erc.demo_page.limits import LIMITS
from modeling_erc.processing_erc import ErcProcessor
from tests.served_page import LABELS, ROOT, accessibility_violations, opened_page, served, write_checkpoint

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
OPEN = "input[data-testid='Open a file-upload-button']"
SCRIPT = "Ann: we won w1 w2\nBo: oh no\nAnn: w3 w4 we\n"
SRT = "1\n00:00:00,000 --> 00:00:00,700\nANN: we won\n\n2\n00:00:00,700 --> 00:00:01,400\nBO: oh no\n"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A model of one label."""
    return write_checkpoint(tmp_path_factory.mktemp("run") / "tiny", tokenizer)


@pytest.fixture(scope="module")
def address(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(checkpoint, tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """Errors in the browser's console and of the scripts on the page."""
    return []


@pytest.fixture
def page(browser: Any, address: str, complaints: list[str]) -> Iterator[Any]:
    with opened_page(browser, address, complaints) as page:
        yield page


def type_and_run(page: Any, script: str) -> None:
    page.fill("#erc-script textarea", script)
    page.click("#erc-run")


def scores_shown(page: Any) -> list[list[str]]:
    rows = page.locator(".erc-table tbody tr")
    return [row.locator("td.erc-num").all_inner_texts() for row in rows.all()]


def labels_shown(page: Any) -> list[str]:
    return page.locator(".erc-table td.erc-emotion b").all_inner_texts()


@in_browser
def test_a_conversation_is_shown_with_labels_scores_and_files(page: Any, checkpoint: Path, tmp_path: Path) -> None:
    processor, model = (
        ErcProcessor.from_pretrained(checkpoint),
        ErcForSequenceClassification.from_pretrained(checkpoint),
    )
    pipe = EmotionRecognitionPipeline(model=model, processor=processor, device="cpu")
    expected = pipe([{"speaker": s, "text": t} for s, t in (line.split(": ") for line in SCRIPT.splitlines())])

    type_and_run(page, SCRIPT)
    page.wait_for_selector(".erc-table")
    labels = [result["label"] for result in expected]
    assert labels_shown(page) == labels == page.locator(".erc-block b").all_inner_texts()
    assert scores_shown(page) == [[f"{score:.2f}" for score in r["scores"].values()] for r in expected]
    assert page.locator(".erc-words").all_inner_texts() == ["we won w1 w2", "oh no", "w3 w4 we"]
    assert page.locator("#erc-get-vtt").is_disabled(), "subtitles need times"

    for kind in ("csv", "json", "png"):
        with page.expect_download() as download:
            page.click(f"#erc-get-{kind}")
        download.value.save_as(tmp_path / f"got.{kind}")
    with (tmp_path / "got.csv").open(encoding="utf-8") as file:
        assert [row["label"] for row in csv.DictReader(file)] == labels
    assert [turn["text"] for turn in json.loads((tmp_path / "got.json").read_text())] == [
        "we won w1 w2",
        "oh no",
        "w3 w4 we",
    ]
    assert matplotlib.image.imread(tmp_path / "got.png").shape[1] == 1280

    page.get_by_label("voice").uncheck()
    page.wait_for_timeout(500)
    page.wait_for_selector("text=3 turns, read from words.")
    assert page.locator(".erc-change").count() == 0, "there was no voice to leave out"


@in_browser
def test_long_conversations_are_pasted_at_once_and_shown_in_pages(page: Any) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("text => navigator.clipboard.writeText(text)", "\n".join(f"Ann: we won w{i % 9}" for i in range(200)))
    page.locator("#erc-script textarea").focus()
    started = time.monotonic()
    page.keyboard.press("Control+v")
    page.wait_for_function("document.querySelector('#erc-script textarea').value.split('\\n').length === 200")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert time.monotonic() - started < 5, "a box that grows took 16 s"

    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".erc-table")
    visible = ".erc-table tbody tr:visible"
    assert page.locator(visible).count() == page.locator(".erc-tiles li:visible").count() == 40
    page.locator(".erc-ribbon a").nth(170).click()
    row = page.locator("#erc-turn-171")
    sync_api.expect(row).to_be_in_viewport()
    sync_api.expect(row).to_be_focused()
    assert page.locator(visible).first.get_attribute("id") == "erc-turn-161"
    page.locator("[data-erc-show='1']").first.click()
    page.locator(".erc-tiles li:visible a").nth(1).press("Enter")
    sync_api.expect(page.locator("#erc-turn-42")).to_be_focused()


@in_browser
def test_every_control_shows_the_focus(page: Any) -> None:
    type_and_run(page, SCRIPT)
    page.wait_for_selector("#erc-get-png:not([disabled])")
    page.locator("#erc-script textarea").focus()
    seen = {}
    for _ in range(20):
        name, style, width = page.evaluate(
            "(e => [e === document.body ? 'BODY' : e.id || e.getAttribute('href') || e.innerText || e.name,"
            " getComputedStyle(e).outlineStyle, parseFloat(getComputedStyle(e).outlineWidth)])(document.activeElement)"
        )
        seen[name] = (style, width)
        page.keyboard.press("Tab")
    assert {"erc-run", "erc-get-csv", "#erc-turn-3", "Example"} <= seen.keys()
    seen.pop("BODY", None)
    assert {name for name, (style, width) in seen.items() if style != "solid" or width < 2} == set()


@in_browser
def test_each_script_is_written_in_its_direction(page: Any) -> None:
    type_and_run(page, "דנה: we won, שלום (w1)!\n小明: 我们赢了!")
    page.wait_for_selector(".erc-table")
    words = page.locator(".erc-words").evaluate_all("all => all.map(e => [e.innerText, getComputedStyle(e).direction])")
    # The direction follows the first letter.
    assert words == [["we won, שלום (w1)!", "ltr"], ["我们赢了!", "ltr"]]
    type_and_run(page, "דנה: שלום (w1) we won!")
    page.wait_for_selector("text=1 turn, read from words.")
    words = page.locator(".erc-words").evaluate_all("all => all.map(e => [e.innerText, getComputedStyle(e).direction])")
    assert words == [["שלום (w1) we won!", "rtl"]]
    assert page.locator(".erc-who bdi").all_inner_texts() == ["דנה", "דנה"]
    assert page.evaluate("getComputedStyle(document.querySelector('#erc-script textarea')).unicodeBidi") == "plaintext"


def predict_example_without_voice(page: Any) -> None:
    page.click("text=Example")
    page.wait_for_selector("video#erc-player")
    page.get_by_label("voice").uncheck()
    page.wait_for_selector(".erc-change")
    page.wait_for_selector("#erc-get-png:not([disabled])")  # its colours fade in once the picture is drawn


@in_browser
def test_the_page_has_no_accessibility_violations(page: Any) -> None:
    predict_example_without_voice(page)
    assert accessibility_violations(page) == {}


@in_browser
def test_several_labels_and_targets_are_drawn_on_any_screen(
    browser: Any, complaints: list[str], tmp_path: Path, tokenizer: Any
) -> None:
    answers = {"problem_type": "multi_label_classification", "target_names": ["valence", "arousal"]}
    checkpoint = write_checkpoint(tmp_path / "several", tokenizer, **answers)
    with served(checkpoint, tmp_path) as address, opened_page(browser, address, complaints) as page:
        predict_example_without_voice(page)
        assert re.search(r"valence changes most in turn \d, from", page.locator(".erc-change").inner_text())
        sync_api.expect(page.get_by_role("img", name="over the conversation")).to_have_count(3)
        assert page.locator("thead th").all_inner_texts() == ["turn", "emotions", *LABELS, "valence", "arousal"]
        colours = "all => all.map(e => getComputedStyle(e).stroke)"
        light = page.locator("path.erc-voice").evaluate_all(colours)
        assert accessibility_violations(page) == {}
        assert len({*light, *page.locator("path.erc-voice").evaluate_all(colours)}) == 4, "two speakers, two schemes"
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        ribbon, plot = (page.locator(name).last.bounding_box() for name in (".erc-panel svg", ".erc-spots"))
        assert (ribbon["x"], ribbon["width"]) == pytest.approx((plot["x"], plot["width"]))
        page.locator(".erc-spots a").nth(4).click()
        sync_api.expect(page.locator("#erc-turn-5")).to_be_focused()


@in_browser
def test_subtitles_with_a_recording_and_one_modality_switched_off(
    page: Any, clips: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "a.srt").write_text(SRT)
    page.set_input_files(OPEN, tmp_path / "a.srt")
    lines = "[0:00 - 0:00.7] ANN: we won\n[0:00.7 - 0:01.4] BO: oh no"
    sync_api.expect(page.locator("#erc-script textarea")).to_have_value(lines)
    page.set_input_files("#erc-recording input", clips["long.wav"])
    page.wait_for_selector("#erc-recording [aria-label='long.wav']")
    page.click("#erc-transcribe")
    page.wait_for_selector(".erc-message:has-text('cannot be transcribed: long.wav: no speech was found in its 1.5 s')")
    page.click("#erc-run")
    page.wait_for_selector("text=2 turns, read from words and voice.")
    whole, labels = scores_shown(page), labels_shown(page)
    page.get_by_label("voice").uncheck()
    page.wait_for_selector("text=2 turns, read from words.")
    assert scores_shown(page) != whole
    changed = sum(a != b for a, b in zip(labels, labels_shown(page), strict=True))
    change = {0: "no label changes", 1: "1 of 2 labels changes", 2: "2 of 2 labels change"}[changed]
    assert page.locator(".erc-change").inner_text() == f"Without voice, {change}."
    assert page.locator(".erc-table .erc-was").count() == changed
    with page.expect_download() as download:
        page.click("#erc-get-vtt")
    download.value.save_as(tmp_path / "got.vtt")
    assert (tmp_path / "got.vtt").read_text().count("-->") == 2
    page.get_by_label("words").uncheck()
    page.wait_for_selector(".erc-message:has-text('Everything is switched off')")
    assert page.locator(".erc-table, .erc-tiles").count() == 0, "an error clears the old result"
    page.get_by_label("voice").check()
    page.wait_for_selector("text=2 turns, read from voice.")

    page.locator(".erc-play").nth(1).click()
    player = page.locator("audio#erc-player")
    page.wait_for_function("document.querySelector('#erc-player').currentTime > 0.7")
    page.wait_for_function("document.querySelector('#erc-player').paused")
    assert 1.3 < player.evaluate("player => player.currentTime") <= 1.5, "turn 2 lasts from 0.7 s to 1.4 s"


@in_browser
def test_broken_and_oversized_uploads_are_refused_and_the_page_keeps_working(
    page: Any, complaints: list[str], tmp_path: Path
) -> None:
    def opened(name: str, content: bytes, message: str) -> None:
        (tmp_path / name).write_bytes(content)
        page.set_input_files(OPEN, tmp_path / name)
        page.wait_for_selector(f".erc-message:has-text('{message}')")

    opened("a.json", b"[" * 100_000, "The file cannot be read")
    opened("b.srt", b"\x00\x01\x02", "is not a text file")
    opened("c.csv", b"text\n" + b"w1\n" * 500_000, "too large: at most 1000 kB")
    opened("d.csv", b"text\n" + b"w1\n" * 300, "300 turns are too many")
    (tmp_path / "e.json").write_text('[{"text": "w1", "audio": "/etc/passwd"}]')
    page.set_input_files(OPEN, tmp_path / "e.json")
    page.wait_for_selector(".erc-notes:has-text('which this page does not open')")

    type_and_run(page, SCRIPT)
    page.wait_for_selector(".erc-table")
    (tmp_path / "broken.mp4").write_bytes(b"no film at all" * 100)
    page.set_input_files("#erc-recording input", tmp_path / "broken.mp4")
    page.wait_for_selector("#erc-recording [aria-label='broken.mp4']")
    type_and_run(page, SCRIPT)
    page.wait_for_selector(".erc-message:has-text('The recording cannot be read')")
    assert page.locator(".erc-table, .erc-tiles").count() == 0 and not page.locator("#erc-get-csv").is_visible()
    page.click("#erc-recording button[aria-label='Clear']")

    with (tmp_path / "huge.wav").open("wb") as file:
        file.truncate(51 * 2**20)
    page.set_input_files("#erc-recording input", tmp_path / "huge.wav")
    page.wait_for_selector("text=exceed the maximum allowed size of 50.0 Mb")
    page.click("[data-testid='toast-close']")

    type_and_run(page, SCRIPT)
    page.wait_for_selector(".erc-table")
    assert len(labels_shown(page)) == 3 and page.locator(".erc-message").count() == 0
    # gradio requests the progress of an upload that it has just refused.
    assert all("404" in text or text == "Response" for text in complaints)
    complaints.clear()


@in_browser
def test_input_text_is_shown_literally(page: Any) -> None:
    bad = "<img src=x onerror=\"document.title='taken'\"> ${document.title='taken'} {{value}} </td><script>"
    type_and_run(page, f"{bad}\n<b>Ann</b>: we won")
    page.wait_for_selector(".erc-table")
    assert page.locator(".erc-words").first.inner_text() == bad
    assert page.title() == "Emotions in a conversation" and page.locator(".erc-view img").count() == 0


@in_browser
def test_a_phone_shows_one_column_without_horizontal_scrolling(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    type_and_run(page, SCRIPT)
    page.wait_for_selector(".erc-table")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    script, results = (page.locator(name).bounding_box() for name in ("#erc-script", "#erc-results"))
    assert results["y"] > script["y"] + script["height"] and script["width"] > 300


def post(address: str, path: str, content: Any) -> Any:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    kind = "multipart/form-data; boundary=x" if isinstance(content, bytes) else "application/json"
    with urlopen(Request(address + path, body, {"Content-Type": kind}), timeout=60) as answer:
        return json.load(answer)


def call(address: str, function: int, data: list[Any]) -> dict[str, Any]:
    """Calls a function as the script of the page does, and returns the last event."""
    session = f"s{time.monotonic_ns()}"
    post(address, "/gradio_api/queue/join", {"data": data, "fn_index": function, "session_hash": session})
    with urlopen(f"{address}/gradio_api/queue/data?session_hash={session}", timeout=60) as events:
        for line in events:
            if line.startswith(b"data:"):
                event = json.loads(line[5:])
                if event["msg"] in ("process_completed", "unexpected_error"):
                    return event
    raise AssertionError("the queue ended without an answer")


def test_requests_cannot_open_files_or_addresses_of_this_machine(address: str) -> None:
    for path in ("/etc/passwd", f"{ROOT}/setup.py", "../../etc/passwd", "..%2f..%2fetc%2fpasswd"):
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{address}/gradio_api/file={path}", timeout=60)
        assert refused.value.code in (403, 404), path
    with urlopen(f"{address}/config", timeout=60) as answer:
        functions = json.load(answer)["dependencies"]
    read = next(f["id"] for f in functions if len(f["inputs"]) == 3)
    for path in ("/etc/passwd", "http://127.0.0.1:9/a.wav", "https://example.org/a.wav"):
        recording = {"path": path, "meta": {"_type": "gradio.FileData"}}
        event = call(address, read, ["Ann: we won", recording, ["text"]])
        assert event["success"] is False, path
    assert "opens no addresses" in event["output"]["error"]
    assert call(address, read, ["Ann: we won", None, ["text"]])["success"] is True


def test_only_local_host_names_are_answered(address: str) -> None:
    port = urlparse(address).port
    for host, status in ((f"localhost:{port}", 200), (f"[::1]:{port}", 200), (f"rebound.example.org:{port}", 400)):
        connection = HTTPConnection("127.0.0.1", port or 0, timeout=60)
        connection.request("GET", "/config", headers={"Host": host})
        assert connection.getresponse().status == status, host
        connection.close()


def test_an_oversized_text_is_refused_before_parsing(address: str) -> None:
    with urlopen(f"{address}/config", timeout=60) as answer:
        config = json.load(answer)
    read = next(f["id"] for f in config["dependencies"] if len(f["inputs"]) == 3)
    (box,) = [c["props"] for c in config["components"] if c["props"].get("elem_id") == "erc-script"]
    assert box["max_length"] == LIMITS.script_characters + 1
    # The browser enforces the limit, but other clients need not.
    event = call(address, read, ["\n" * 1_000_000, None, ["text"]])
    assert "1000000 characters are too many for this page" in json.dumps(event["output"]["data"])


def test_the_server_refuses_oversized_uploads(address: str) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
    with pytest.raises(HTTPError) as refused:
        post(address, "/gradio_api/upload", head + bytes(51 * 2**20) + b"\r\n--x--\r\n")
    assert refused.value.code == 413
    assert post(address, "/gradio_api/upload", head + b"x\r\n--x--\r\n")[0].endswith("a.wav")


def test_the_default_limits_are_those_of_the_options() -> None:
    run = subprocess.run([sys.executable, "app.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    found = [float(number) for number in re.findall(r"(?s)--max_\w+ \w+\s.*?\(default:\s+([\d.]+)\)", run.stdout)]
    assert found == [
        LIMITS.turns,
        LIMITS.seconds / 60,
        LIMITS.upload_bytes / 2**20,
        LIMITS.computing_seconds,
    ]
    run = subprocess.run([sys.executable, "app.py", "x", "--max_turns", "0"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2 and "--max_turns 0: give a number above 0" in run.stderr


def test_a_missing_checkpoint_is_reported() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ERC_CHECKPOINT"}
    run = subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 2 and "name a checkpoint, such as runs/demo-001, or set ERC_CHECKPOINT" in run.stderr
