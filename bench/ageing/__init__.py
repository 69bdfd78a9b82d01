"""Ageing: what a store's disk space and commits come to when very much mail has passed through it."""
