"""The Debian package: built, installed beside the files of this machine without changing them, used, and purged."""

import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.layer import LAYER, MARKS, apart, built
from tests.support.programs import needs
from tests.support.server import port_offset

_INSIDE = """
mount --bind /proc {room}/root/proc
mount --bind /dev {room}/root/dev
mount -t tmpfs none {room}/root/tmp
mount -t tmpfs none {room}/root/run
cp {package} {room}/root/tmp/postroad.deb
cat >{room}/root/tmp/script
exec chroot {room}/root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 sh -eu /tmp/script
"""

MESSAGES = 200
"""Sent while an operator looks at the server and has it reload."""

_INSTALLED = """
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
dpkg -i /tmp/postroad.deb
echo "== folders"
stat -c '%n %U %G %a' /etc/postroad /var/lib/postroad
readlink -f "$(command -v postroad)"
postroad --version
"""

_USED = """
postroad init /etc/postroad --yes --hostname mx.firma.test --bind 127.0.0.1 --port-offset {offset} \\
  --tls self-signed --scanner own
postroad -c /etc/postroad/pipeline.toml check
postroad -c /etc/postroad/pipeline.toml run >/tmp/ready 2>/tmp/events &
server=$!
while ! grep -q ready /tmp/ready; do kill -0 $server; sleep 0.1; done
cat >/tmp/send <<'END'
import smtplib
with smtplib.SMTP("127.0.0.1", 25 + {offset}) as client:
    for number in range({messages}):
        message = "From: a@example.net\\nSubject: hello %d\\n\\nyou\\n" % number
        client.sendmail("a@example.net", ["postmaster@firma.test"], message)
END
python3 /tmp/send &
sender=$!
while ! grep -q '"delivered"' /tmp/events; do kill -0 $server; sleep 0.1; done
echo "== whose"
id -nu "$(awk '/^Uid:/ {{ print $2 }}' /proc/$server/status)"
postroad -c /etc/postroad/pipeline.toml doctor --only server --only disk --only versions || true
postroad -c /etc/postroad/pipeline.toml reload
wait $sender
while test "$(grep -c '"event":"delivered"' /tmp/events)" -lt {messages}; do kill -0 $server; sleep 0.1; done
kill $server
wait $server
systemd-analyze --man=no verify /lib/systemd/system/postroad.service /lib/systemd/system/postroad.socket
echo "== changed"
dpkg --verify postroad
gzip -dc /usr/share/man/man1/postroad-queue.1.gz | grep -c postroad
gzip -dc /usr/share/man/man5/pipeline.toml.5.gz | grep -c hostname
dpkg -i /tmp/postroad.deb
ls /etc/postroad
echo "== purged"
dpkg --purge postroad
for path in /usr/lib/postroad /usr/bin/postroad /etc/postroad /lib/systemd/system/postroad.service; do
  test ! -e $path
done
ls /var/lib/postroad
"""


@pytest.fixture(scope="module")
def package() -> Path:
    return built()


@pytest.fixture
def room() -> Iterator[Path]:
    """Where the layer of changes is put on."""
    with tempfile.TemporaryDirectory(prefix="postroad-deb-") as folder:
        yield Path(folder)


def here(room: Path, package: Path, script: str) -> str:
    """What a script says that runs as root on this machine, and changes nothing of it."""
    mounted = (LAYER + _INSIDE).format(room=room, package=package)
    done = apart(mounted, stdin=script, timeout=300)
    assert done.returncode == 0, done.stdout
    return done.stdout


pytestmark = MARKS


@needs("dpkg-deb")
def test_what_the_package_says(package: Path) -> None:
    said = subprocess.run(["dpkg-deb", "--info", str(package)], capture_output=True, text=True, check=True).stdout
    assert f"Depends: python3 (>= {sysconfig.get_python_version()}), python3 (<< 3." in said
    files = subprocess.run(["dpkg-deb", "--contents", str(package)], capture_output=True, text=True, check=True).stdout
    assert "./usr/lib/postroad/lib/" in files
    assert str(package.parent) not in files
    for line in files.splitlines():
        assert " root/root " in line
        assert line.startswith("l") or line[8] != "w", f"everybody could write {line}"
    for tool in ("pytest/", "mypy/", "ruff", "hypothesis/", "pip/"):
        assert f"/site-packages/{tool}" not in files
        assert f"/usr/lib/postroad/bin/{tool.rstrip('/')}" not in files
    for part in ("./usr/share/doc/postroad/docs/operating.md", "bench/files/pipeline.toml", "engine/__pycache__/"):
        assert part in files


@needs("dpkg-deb", "unshare", "systemd-analyze")
def test_the_package_is_installed_used_and_purged(package: Path, room: Path) -> None:
    tried = apart(LAYER.format(room=room))
    if tried.returncode:  # in a container that may not mount
        pytest.skip(f"no layer can be put over this machine: {tried.stdout.strip()}")
    before = set(Path("/var/lib").iterdir())
    offset = port_offset()
    said = here(room, package, _INSTALLED + _USED.format(offset=offset, messages=MESSAGES))
    parts = dict(part.split("\n", 1) for part in said.split("== ")[1:])
    assert "/etc/postroad root postroad 750\n/var/lib/postroad postroad postroad 700\n" in parts["folders"]
    assert "/usr/lib/postroad/bin/postroad" in parts["folders"]
    assert parts["whose"].startswith("postroad\n")
    assert "serves, by revision 1" in parts["whose"]
    assert "with libraries that are new enough" in parts["whose"]
    changed = parts["changed"].splitlines()
    assert changed[0].isdecimal(), "files of the package are other ones: " + parts["changed"]
    assert "pipeline.toml" in changed
    assert "stays; remove it by hand" in parts["purged"]
    assert "mailbox" in parts["purged"].split()
    assert set(Path("/var/lib").iterdir()) == before
