import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "hub_round_trip.py"


@pytest.mark.slow
def test_a_trained_model_predicts_on_a_machine_that_knows_only_the_hub(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"pushed: http://127\.0\.0\.1:\d+/me/erc-demo/commit/[0-9a-f]{40}", done.stdout)
    assert re.search(r"Belka: \w+ \(0\.\d\d\)\nVesna: \w+ \(0\.\d\d\)", done.stdout)
    assert "logits: (1, 2, 7)\nfeatures: (1, 2, 64)" in done.stdout
    # Nothing is left behind.
    assert not list(tmp_path.iterdir())
