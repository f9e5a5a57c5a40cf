"""Reads feature pickles of the field without running what they contain."""
