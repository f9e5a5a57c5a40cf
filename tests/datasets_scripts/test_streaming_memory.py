import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADER = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
READER = """
import resource, sys
from datasets_scripts import load_erc_dataset
splits = load_erc_dataset("meld", sys.argv[1], streaming=True)
count = sum(len(row["utterances"]) for rows in splits.values() for row in rows)
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def write_corpus(folder: Path, dialogues: int) -> Path:
    folder.mkdir()
    for split, share in (("train", dialogues - 20), ("dev", 10), ("test", 10)):
        with (folder / f"{split}_sent_emo.csv").open("w") as file:
            file.write(HEADER)
            for number in range(share):
                file.writelines(
                    f"What is said in turn {turn} of {number}.,Ann,joy,{number},{turn}\n" for turn in range(10)
                )
    return folder


def read(corpus: Path) -> tuple[int, int]:
    """Utterances, and the peak memory of reading them (MB)."""
    environment = {**os.environ, "HF_HOME": str(corpus.parent / "home")}
    done = subprocess.run(
        [sys.executable, "-c", READER, str(corpus)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    count, peak = map(int, done.stdout.split())
    return count, peak


@pytest.mark.slow
def test_a_streamed_corpus_ten_times_as_large_takes_no_more_memory(tmp_path: Path) -> None:
    count, peak = read(write_corpus(tmp_path / "meld", 1_400))
    larger_count, larger_peak = read(write_corpus(tmp_path / "ten", 14_000))
    print(f"{count} utterances: {peak} MB; {larger_count}: {larger_peak} MB")
    assert larger_count == 10 * count == 140_000
    assert larger_peak < peak + 20
