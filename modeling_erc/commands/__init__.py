"""The commands of `python -m modeling_erc`, one a file."""
