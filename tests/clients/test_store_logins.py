"""A mail store that takes mail by LMTP from those alone who log in under TLS: a second Postroad."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import Certificates
from tests.support.server import PASSWORD, Postroad, letter

FEEDER, BOB = "feeder@example.org", "bob@example.org"

STORE = {
    "server": {"hostname": "store.example.org", "workers": 1},
    "login": {"allow_networks": ["127.0.0.0/8"]},
    "listen": {"lmtp": "127.0.0.1:0"},
    "lane": {"handed_in": {"listen": ["lmtp"], "stages": ["take", "queue", "route"]}},
    "stage": {"take": {"use": "stages.accept", "protocol": "lmtp", "login": "required", "senders": "any"}},
}


def front(port: int, folder: Path, certificates: Certificates, password: str) -> dict[str, Any]:
    """Settings of a server that hands its people's mail to the store at a port."""
    folder.mkdir()
    (folder / "login").write_text(f"{FEEDER}\n{password}\n")
    login = {"login_file": "login", "trust": str(certificates.authority), "retry": ["1s"]}
    return {
        "server": {"workers": 1},
        "lane": {"store": {"stages": ["lmtp"]}},
        "route": [{"to": "local", "lane": "store"}, {"to": "*", "lane": "remote"}],
        "stage": {"lmtp": {"host": f"127.0.0.1:{port}", **login}},
    }


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "PLAIN"])
def test_mail_comes_into_a_store_that_wants_a_login(tmp_path: Path, certificates: Certificates, mechanism: str) -> None:
    settings = {**STORE, "tls": certificates.settings, "login": {**STORE["login"], "mechanisms": [mechanism]}}
    with Postroad(tmp_path / "store", settings) as store:
        store.account(FEEDER, BOB)
        near = front(store.ports["lmtp"], tmp_path / "front", certificates, "another password")
        with Postroad(tmp_path / "front", near) as server:
            server.account(BOB)
            server.send(letter("by a login"), BOB)
            assert "login" in str(server.wait_for("deferred"))
            (tmp_path / "front" / "login").write_text(f"{FEEDER}\n{PASSWORD}\n")
            server.wait_for("delivered", to=BOB)
            assert not [line for line in server.noise if PASSWORD in line]
        (got,) = store.mail_for(BOB)
        assert b"with LMTPSA id" in got
        assert store.wait_for("login", ok=True)["mechanism"] == mechanism
