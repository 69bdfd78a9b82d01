"""Parked mail as people deal with it: found, told of, let go on, and deleted when it is old."""
