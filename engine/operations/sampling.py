"""How much of the queue a preview looks at; light to import, for commands."""

SAMPLE = 10_000
"""Messages: each takes about a millisecond, and more would tell little more."""
