"""The tests of features use the corpora and the small runs of the training tests."""

from tests.modeling_erc.training.conftest import corpus_root, make_parts, make_splits, own_metrics_folder, splits

__all__ = ["corpus_root", "make_parts", "make_splits", "own_metrics_folder", "splits"]
