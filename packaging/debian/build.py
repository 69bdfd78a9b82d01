"""`make deb`: a Debian package with Postroad and its libraries, for the Python and the machine that it is built on."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution, version
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PYTHON = Path("/usr/bin/python3")
"""Whose libraries these are: that of the distribution, which its updates keep."""

VENV = Path("usr/lib/postroad")

FILES = {
    "packaging/systemd/postroad.service": "lib/systemd/system/postroad.service",
    "packaging/systemd/postroad.socket": "lib/systemd/system/postroad.socket",
    "packaging/systemd/tmpfiles.conf": "usr/lib/tmpfiles.d/postroad.conf",
    "packaging/debian/copyright": "usr/share/doc/postroad/copyright",
    "README.md": "usr/share/doc/postroad/README.md",
}

SCRIPTS = ("postinst", "prerm", "postrm")


def main(into: Path, *, quickly: bool = False) -> Path:
    """Build the package in the folder ``into``; its path. ``quickly``: larger than need be, for a test."""
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="postroad-deb-") as temporary:
        root = Path(temporary) / "root"
        _install(Path(temporary), root / VENV)
        _copy(root)
        _control(root)
        package = into / f"postroad_{version('postroad')}_{_said('dpkg', '--print-architecture')}.deb"
        packed = ("-Zgzip", "-z1") if quickly else ("-Zxz",)
        _run("dpkg-deb", "--root-owner-group", *packed, "--build", str(root), str(package))
    return package


def _install(temporary: Path, venv: Path) -> None:
    """A virtual environment that works at /usr/lib/postroad, with nothing but what a server needs."""
    _run(str(PYTHON), "-m", "venv", "--without-pip", str(venv))
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(temporary))
    (wheel,) = temporary.glob("postroad-*.whl")
    wanted = temporary / "requirements.txt"
    wanted.write_text("".join(_locked()))
    pip = (sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install", "--quiet", "--no-deps")
    options = ("--no-compile", "--disable-pip-version-check", "--no-warn-script-location")
    _run(*pip, *options, "--require-hashes", "-r", str(wanted))
    _run(*pip, *options, str(wheel))
    shutil.rmtree(venv / "share" / "man")  # it is where man(1) looks for it
    for script in (venv / "bin").iterdir():
        if script.name not in ("python", "python3", "postroad") and not script.is_symlink():
            script.unlink()
    command = venv / "bin" / "postroad"
    command.write_text(re.sub(r"^#!.*", f"#!/{VENV}/bin/python", command.read_text()))
    config = venv / "pyvenv.cfg"
    config.write_text("".join(f"{line}\n" for line in config.read_text().splitlines() if "command" not in line))
    _run(str(PYTHON), "-m", "compileall", "-q", "-s", str(venv.parents[2]), "-p", "/", str(venv / "lib"))


def _locked() -> Iterator[str]:
    """The entries of requirements.lock, with their hashes, for what a server needs and no developer's tool."""
    needed = _needed("postroad")
    entry, keep = "", False
    for line in (ROOT / "requirements.lock").read_text().splitlines(keepends=True):
        if not line.startswith((" ", "#")):
            if keep:
                yield entry
            entry, keep = "", _plain(re.split(r"[=\[ ]", line)[0]) in needed
        entry += line
    if keep:
        yield entry


def _needed(name: str, extras: frozenset[str] = frozenset(), found: set[str] | None = None) -> set[str]:
    """The names of all that a package stands on, with those of its extras, as they are installed beside us."""
    from packaging.requirements import Requirement

    found = set() if found is None else found
    for requirement in map(Requirement, distribution(name).requires or ()):
        marker = requirement.marker
        wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
        inner = frozenset(requirement.extras)
        if wanted and (_plain(requirement.name) not in found or inner):
            found.add(_plain(requirement.name))
            _needed(requirement.name, inner, found)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _copy(root: Path) -> None:
    for source, target in FILES.items():
        path = root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, path)
        path.chmod(0o644)
    shutil.copytree(ROOT / "man", root / "usr/share/man")
    _run("gzip", "-9nr", str(root / "usr/share/man"))
    shutil.copytree(ROOT / "docs", root / "usr/share/doc/postroad/docs", ignore=shutil.ignore_patterns("*.py", "__*"))
    (root / "usr/bin").mkdir(exist_ok=True)
    (root / "usr/bin/postroad").symlink_to(f"../{VENV.relative_to('usr')}/bin/postroad")


def _control(root: Path) -> None:
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    sums = "".join(f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files)
    control = root / "DEBIAN"
    control.mkdir()
    (control / "md5sums").write_text(sums)
    major, minor = map(int, _said(str(PYTHON), "-c", "import sys; print(*sys.version_info[:2])").split())
    values = {
        "version": version("postroad"),
        "architecture": _said("dpkg", "--print-architecture"),
        "size": sum(path.stat().st_size for path in files) // 1024,
        "python": f"{major}.{minor}",
        "next": f"{major}.{minor + 1}",
        "libc": os.confstr("CS_GNU_LIBC_VERSION").split()[1],  # type: ignore[union-attr]
    }
    (control / "control").write_text((HERE / "control").read_text().format(**values))
    for name in SCRIPTS:
        shutil.copyfile(HERE / name, control / name)
        (control / name).chmod(0o755)


def _said(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def _run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=True)


if __name__ == "__main__":
    theirs = _said(str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_python_version())")
    if theirs != sysconfig.get_python_version():
        sys.exit(f"{PYTHON} is another Python, {theirs}: `make clean`, and `make deb PYTHON={PYTHON}`")
    options, folders = [[one for one in sys.argv[1:] if one.startswith("--") is begins] for begins in (True, False)]
    print(main(Path(*folders or ("dist",)), quickly="--quick" in options))
