"""Processes: the supervisor, its workers, and what runs inside them."""
