"""Prints the emotion of every utterance of DIALOGUE.json, a list of {"speaker", "text", "audio", "video"}."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from transformers import AutoProcessor

folder = Path(__file__).parent
model = json.loads((folder / "model.json").read_text("utf-8"))
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
encoded = processor(json.loads(Path(sys.argv[1]).read_text("utf-8")))
inputs = {}
for name, needed in model["inputs"].items():
    rows = encoded.get(needed["processor_output"])
    inputs[name] = np.zeros(needed["if_absent"], needed["dtype"]) if rows is None else rows.numpy()
for logits in onnxruntime.InferenceSession(folder / "model.onnx").run(["logits"], inputs)[0]:
    labels, count = model["labels"], len(model["labels"])
    result: dict[str, Any] = {}
    if model["targets"]:
        result["targets"] = dict(zip(model["targets"], logits[count:].tolist(), strict=True))
    if model["problem_type"] == "multi_label_classification":
        scores, limits = 1 / (1 + np.exp(-logits[:count])), model["thresholds"] or [0.5] * count
        result["labels"] = [name for name, score, limit in zip(labels, scores, limits, strict=True) if score >= limit]
    elif labels:
        result["label"] = labels[logits[:count].argmax()]
    print(json.dumps({**result, "logits": logits.tolist()}))
