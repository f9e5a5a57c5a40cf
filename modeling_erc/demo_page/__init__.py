"""The page that `app.py` serves: a conversation in, its emotions as a timeline, a table and files."""
