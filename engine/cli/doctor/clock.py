"""Whether the clock is right: signatures, certificates, tokens and retries stand on it."""

import ctypes
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from engine.cli.doctor.finding import Finding, Patient, good, problem, warning
from engine.cli.tables import timestamp

_TIMEX = struct.Struct("@Illlli")
"""The beginning of struct timex: modes, offset, freq, maxerror, esterror, status (adjtimex(2))."""

_OCTETS = 512
"""Room for all of it, on any machine."""

_UNSYNCHRONISED = 0x0040
_FAR = 1.0
"""Seconds by which the clock may be wrong, as far as the kernel knows."""

_KEEP = "apt install chrony, or timedatectl set-ntp true"


def look(_: Patient) -> Iterator[Finding]:
    now, made = time.time(), Path(__file__).stat().st_mtime
    if now < made - 86_400:
        yield problem(
            f"the clock says {timestamp(now)}, which is before this release was installed",
            "certificates are not valid yet, signatures are of the past, and nothing in the queue is due",
            _KEEP,
        )
        return
    yield _judged(*_kernel())


def _kernel() -> tuple[int, float]:
    """What the kernel knows of its clock: the status, and how many seconds it may be wrong at most."""
    buffer = ctypes.create_string_buffer(_OCTETS)  # modes = 0: it is only asked
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(buffer) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _, _, _, most, _, status = _TIMEX.unpack_from(buffer)
    return status, most / 1e6


def _judged(status: int, most: float) -> Finding:
    if status & _UNSYNCHRONISED:
        return warning(
            "nobody keeps the clock right, as far as the kernel knows",
            "with a wrong clock, signatures, tokens and certificates are wrong",
            f"{_KEEP}; in a virtual machine or a container its host may do it",
        )
    if most > _FAR:
        return warning(
            f"the clock may be wrong by {most:.1f} s",
            "the servers that keep it right are far, or few",
            "chronyc sources",
        )
    return good(f"the clock is kept right, to {most * 1000:.0f} ms at worst")
