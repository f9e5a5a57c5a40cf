"""`train [CONFIG] [--field value ...]`: what `train_hf.py` does."""

from train_hf import main

__all__ = ["main"]
