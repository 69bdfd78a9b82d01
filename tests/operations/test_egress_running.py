"""A server that sends for several tenants from several addresses, and is reloaded while it does."""

from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.background import smtp_server
from tests.support.load import subjects
from tests.support.remote import Remote
from tests.support.server import Postroad, letter, until

FAR = "far@elsewhere.test"


def settings(port: int) -> dict[str, Any]:
    return {
        "lane": {"inbound": {"stages": ["accept", "tenant", "queue", "route"]}},
        "stage": {"resolve": {"smart_host": f"127.0.0.1:{port}"}, "relay": {"pool": "usual"}},
        "egress": {
            "source": {
                "mx2": {"ipv4": "127.0.0.2", "ehlo": "mx2.example.org"},
                "mx3": {"ipv4": "127.0.0.3", "ehlo": "mx3.example.org"},
                "mx4": {"ipv4": "127.0.0.4", "ehlo": "mx4.example.org"},
            },
            "pool": {"usual": {"sources": {"mx2": 1}}, "bulk": {"sources": {"mx3": 1, "mx4": 1}}},
        },
        "tenant": {"acme": {"header": True, "pool": "bulk"}},
    }


def marked(subject: str) -> bytes:
    return b"X-Tenant: acme\r\nX-Campaign: spring\r\n" + letter(subject)


def test_each_tenant_from_its_own_addresses_and_a_reload_moves_them(tmp_path: Path) -> None:
    with smtp_server(Remote()) as remote, Postroad(tmp_path / "server", settings(remote.port)) as server:
        for number in range(20):
            server.send(marked(f"acme {number}"), FAR)
        server.send(letter("nobody's"), FAR)
        until(lambda: len(remote.received) == 21, "all mail")
        assert set(remote.peers) == {"127.0.0.2", "127.0.0.3", "127.0.0.4"}
        assert Counter(line for line in remote.commands if line.startswith("EHLO")).keys() == {
            f"EHLO mx{number}.example.org" for number in (2, 3, 4)
        }
        assert not [received for received in remote.received if b"X-Tenant" in received.content]
        assert len(subjects([received.content for received in remote.received])) == 21
        server.change({"egress": {"pool": {"usual": {"sources": {"mx2": None, "mx3": 1}}}}})
        assert server.reload().returncode == 0
        before = len(remote.peers)
        server.send(letter("after the reload"), FAR)
        until(lambda: len(remote.received) == 22, "one more")
        assert remote.peers[before:] in ([], ["127.0.0.3"]), "one of the open connections, or a new one"


def test_a_file_that_cannot_be_used_is_refused_as_a_whole(tmp_path: Path) -> None:
    with smtp_server(Remote()) as remote, Postroad(tmp_path / "server", settings(remote.port)) as server:
        (tmp_path / "server" / "secret").write_text("only a name\n")
        server.change({"smart_host": {"there": {"host": "smtp.example.net", "login_file": "secret"}}})
        done = server.reload()
        assert done.returncode == 1
        assert "must have two lines" in done.stderr
        server.send(letter("goes on"), FAR)
        until(lambda: remote.received, "mail by the old file")


def test_a_new_address_sends_no_more_than_its_plan_over_all_workers(tmp_path: Path) -> None:
    whole = settings(0)
    whole["egress"]["source"]["mx3"]["warm_up"] = {"start": "2026-01-01", "plan": [7], "days": 36500}
    with smtp_server(Remote()) as remote:
        whole["stage"]["resolve"]["smart_host"] = f"127.0.0.1:{remote.port}"
        with Postroad(tmp_path / "server", whole) as server:
            for number in range(40):
                server.send(marked(f"acme {number}"), FAR)
            until(lambda: len(remote.received) == 40, "all mail")
            shown = server.command("egress", "list").stdout
            assert "mx3\t127.0.0.3\tmx3.example.org\t\tbulk=1\t7 of 7\n" in shown
