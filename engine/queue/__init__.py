"""The LMDB queue: every accepted message, until each of its recipients is done."""
