#!/usr/bin/env python3
"""Trains a model: `accelerate launch train_hf.py [CONFIG] [--option value ...]`.

Without CONFIG it trains on the demo corpus, which it writes first. Every setting of the recipe can be overridden on the
command line, such as `--modalities text --seed 1`; `--help` lists all options.
"""

import sys

from modeling_erc.__main__ import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
