"""A running server as people watch it: what its measures say of a moment, and messages that pass its links."""
