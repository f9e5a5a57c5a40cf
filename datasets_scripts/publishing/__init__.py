"""Describes a corpus and pushes it to the Hub as a dataset."""
