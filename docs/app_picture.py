"""Renews docs/app.png, the page with its example: `python docs/app_picture.py runs/demo-001` (extra `test`)."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]


def main(checkpoint: str) -> None:
    """Serves a checkpoint, runs the example on the page, and takes the picture."""
    server = subprocess.Popen(
        [sys.executable, "app.py", checkpoint, "--device", "cpu"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        found = re.search(r"answers at (\S+)", server.stdout.readline())
        if found is None:
            sys.exit(f"{checkpoint}: the page did not start")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.set_default_timeout(120_000)
            page.goto(found[1])
            page.click("text=Example")
            page.wait_for_selector("#erc-get-png:not([disabled])")
            page.mouse.move(0, 0)
            page.evaluate("new Promise(done => setTimeout(done, 1000))")  # the player loads its first frame
            page.screenshot(path=ROOT / "docs" / "app.png")
            browser.close()
    finally:
        server.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["runs/demo-001"])
