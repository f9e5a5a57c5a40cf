#!/usr/bin/env python3
"""Trains on a small corpus, pushes the model to the Hub, and predicts in a process without this package.

    python examples/hub_round_trip.py

Without HF_ENDPOINT it uses a Hub that it starts on this machine (`tests/hub_server.py`). With HF_ENDPOINT, and a token
from `hf auth login` or HF_TOKEN, it uses that one; `--hub_model_id user/name` names the repository.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from datasets_scripts.demo_corpus.writer import DemoRecipe, ensure_demo_corpus  # noqa: E402 (run from anywhere)
from tests.hub_server import HubServer  # noqa: E402

# Code of a user of the model, who needs only transformers and torch.
USE_IT = """
import sys
sys.modules["modeling_erc"] = None  # simulates a machine without the package

from transformers import AutoModel, AutoModelForSequenceClassification, AutoProcessor, pipeline

name = sys.argv[1]
pipe = pipeline("emotion-recognition-in-conversation", model=name, trust_remote_code=True)
dialogue = [
    {"speaker": "Belka", "text": "Danger, someone is hiding in the yard."},
    {"speaker": "Vesna", "text": "Wait, what happened to the ladder?"},
]
for utterance in pipe(dialogue):
    print(f"{utterance['speaker']}: {utterance['label']} ({utterance['score']:.2f})")

# The same without the pipeline.
processor = AutoProcessor.from_pretrained(name, trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained(name, trust_remote_code=True).eval()
logits = model(**processor(dialogue)).logits
print("logits:", tuple(logits.shape))
assert [model.config.id2label[i] for i in logits[0].argmax(-1).tolist()] == [u["label"] for u in pipe(dialogue)]

# The joint features, for another classifier.
base = AutoModel.from_pretrained(name, trust_remote_code=True).eval()
print("features:", tuple(base(**processor(dialogue)).last_hidden_state.shape))
assert all(type(part).__module__.startswith("transformers_modules.") for part in (pipe, processor, model, base))
"""


def main() -> None:
    """Trains, pushes and predicts; prints the time of each step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--hub_model_id", default="me/erc-demo", help="repository to push to (default: %(default)s)")
    model_id = parser.parse_args().hub_model_id
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="erc-round-trip-")))
        environment = dict(os.environ)
        if "HF_ENDPOINT" not in os.environ:
            environment |= stack.enter_context(HubServer()).environment(work / "home")

        print("1. A demo corpus of 20 dialogues with text, voices and faces.", flush=True)
        corpus = ensure_demo_corpus(work / "corpus", recipe=DemoRecipe(12, 4, 4, utterances=4))

        print("2. Three epochs of training; the checkpoints and the final model are pushed to the Hub.", flush=True)
        training = ["train_hf.py", "--dataset", "meld", "--data_dir", corpus, "--num_train_epochs", "3"]
        pushing = ["--push_to_hub", "--hub_model_id", model_id]
        run([*training, "--output_dir", work / "run", *pushing], environment)

        print("3. Prediction with an empty cache and without this package.", flush=True)
        (work / "elsewhere").mkdir()
        # transformers warns about every file of new code. SECURITY.md explains how to pin a reviewed commit.
        quiet = {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        clean = {**environment, **quiet, "HF_HOME": str(work / "elsewhere" / "home")}
        run(["-c", USE_IT, model_id], clean, folder=work / "elsewhere")


def run(words: list[object], environment: dict[str, str], folder: Path = REPOSITORY) -> None:
    """Runs Python and shows its output."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *map(str, words)], cwd=folder, env=environment, check=True)
    print(f"   {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
