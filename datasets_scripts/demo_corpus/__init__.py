"""Generates the demo corpus; texts, voices and faces are synthetic, so it may be shared freely."""
