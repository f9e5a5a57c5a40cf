"""The web page of `app.py`: it takes a conversation and shows its emotions as a timeline, a table and files."""
