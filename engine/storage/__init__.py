"""LMDB environments, their one writer, and files for content too large for them."""
