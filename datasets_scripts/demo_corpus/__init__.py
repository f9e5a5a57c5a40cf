"""The demo corpus: its script, voices and faces are computed, so it can be shared freely."""
