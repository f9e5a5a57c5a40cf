#!/usr/bin/env python3
"""Trains a model: `accelerate launch train_hf.py [CONFIG] [--field value ...]`.

Without a config it trains on the demo corpus, which it writes first. Every field of the config can be overridden on the
command line, e.g. `--modalities text --seed 1`; `--help` lists them all.
"""

import sys

from modeling_erc.__main__ import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
