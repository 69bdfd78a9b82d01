"""Which start of the machine this is: what was never synced is whole only until the next one."""

from pathlib import Path

UNKNOWN = bytes(16)


def this_boot() -> bytes:
    """16 octets that are others after each start of the machine; UNKNOWN where the system does not tell."""
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return UNKNOWN
