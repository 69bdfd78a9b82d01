"""A syslog server of the test's own: rsyslog on a socket and a port, which writes what it hears into a file."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.programs import path_of
from tests.support.server import PATIENCE, until

CONFIGURATION = """
module(load="imuxsock" SysSock.Use="off")
module(load="imudp")
input(type="imuxsock" Socket="{folder}/log" RateLimit.Interval="0")
input(type="imudp" address="127.0.0.1" port="{port}")
template(name="whole" type="list") {{
  property(name="syslogfacility-text") constant(value=".") property(name="syslogseverity-text")
  constant(value=" ") property(name="programname") constant(value=" ") property(name="msg") constant(value="\\n")
}}
action(type="omfile" file="{folder}/messages" template="whole")
"""


@contextmanager
def rsyslog(folder: Path, port: int = 0) -> Iterator[None]:
    """One that listens at ``log`` in the folder meanwhile, and fills ``messages`` there. ``port``: by UDP as well."""
    folder.mkdir()
    text = CONFIGURATION.format(folder=folder, port=port)
    if not port:
        text = "".join(f"{line}\n" for line in text.splitlines() if "imudp" not in line)
    (folder / "rsyslog.conf").write_text(text)
    command = [path_of("rsyslogd"), "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
    process = subprocess.Popen(command)
    try:
        until(lambda: (folder / "log").exists() and (not port or _hears(port)), "rsyslog's sockets")
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _hears(port: int) -> bool:
    """Whether somebody is bound to the port of UDP."""
    return any(f":{port:04X} " in line for line in Path("/proc/net/udp").read_text().splitlines())
