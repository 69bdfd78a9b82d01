"""Debian's Roundcube over a server of ours: PHP's own web server, SQLite, and a folder for all that it writes."""

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.programs import path_of
from tests.support.server import Postroad, free_port, until

HOME = Path("/var/lib/roundcube")
TABLES = Path("/usr/share/dbconfig-common/data/roundcube/install/sqlite3")

if not HOME.exists() and os.environ.get("POSTROAD_NO_SKIPS"):
    raise LookupError("roundcube-core is not installed, and here no test may be skipped")

_CONFIG = """\
<?php
$tls = ['ssl' => ['verify_peer' => true, 'verify_peer_name' => true, 'cafile' => '{authority}']];
$config['db_dsnw'] = 'sqlite:///{folder}/roundcube.sqlite?mode=0600';
$config['imap_host'] = 'ssl://localhost:{imaps}';
$config['imap_conn_options'] = $tls;
$config['smtp_host'] = 'ssl://localhost:{submissions}';
$config['smtp_user'] = '%u';
$config['smtp_pass'] = '%p';
$config['smtp_auth_type'] = 'PLAIN';
$config['smtp_conn_options'] = $tls;
$config['managesieve_host'] = 'tls://localhost:{managesieve}';
$config['managesieve_conn_options'] = $tls;
$config['managesieve_vacation'] = 1;
$config['des_key'] = 'twenty-four octets of it';
$config['plugins'] = ['managesieve', 'acl', 'archive', 'markasjunk'];
$config['skin'] = 'elastic';
$config['language'] = 'en_US';
$config['log_dir'] = '{folder}/logs/';
$config['temp_dir'] = '{folder}/temp/';
"""
"""As docs/operating.md says it, but for folders and ports."""


@contextlib.contextmanager
def roundcube(server: Postroad, authority: Path, folder: Path) -> Iterator[str]:
    """Its address. What it has to complain about is in ``logs`` of the folder."""
    for name in ("config", "logs", "temp"):
        (folder / name).mkdir(parents=True)
    text = _CONFIG.replace("{folder}", str(folder)).replace("{authority}", str(authority))
    for name in ("imaps", "submissions", "managesieve"):
        text = text.replace(f"{{{name}}}", str(server.ports[name]))
    (folder / "config" / "config.inc.php").write_text(text)
    (folder / "config" / "defaults.inc.php").symlink_to("/etc/roundcube/defaults.inc.php")
    with contextlib.closing(sqlite3.connect(folder / "roundcube.sqlite")) as database:
        database.executescript(TABLES.read_text())
    port = free_port()
    command = [path_of("php"), "-S", f"127.0.0.1:{port}", "-t", str(HOME / "public_html")]
    environment = {**os.environ, "ROUNDCUBE_CONFIG_DIR": f"{folder}/config", "PHP_CLI_SERVER_WORKERS": "4"}
    with (folder / "logs" / "php").open("wb") as log:
        popen = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            until(lambda: b"started" in (folder / "logs" / "php").read_bytes() or popen.poll() is not None, "PHP")
            yield f"http://127.0.0.1:{port}/"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(popen.pid, 15)  # its workers too
            popen.wait()
