"""Has the name of a shipped plugin."""
