"""Chance that can be repeated."""

import os
import random


def seeded() -> random.Random:
    """Dice whose seed is printed, and can be given by POSTROAD_SEED."""
    seed = int(os.environ.get("POSTROAD_SEED") or random.SystemRandom().randrange(10**6))
    print(f"POSTROAD_SEED={seed}")
    return random.Random(seed)
