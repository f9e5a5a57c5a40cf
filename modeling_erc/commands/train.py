"""`train [CONFIG] [--option value ...]`: trains a model."""

from ..training.train import main

__all__ = ["main"]
