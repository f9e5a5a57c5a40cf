"""Reads pickles of precomputed features without executing code in them."""
