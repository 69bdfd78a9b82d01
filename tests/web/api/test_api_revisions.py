"""Configurations by the API: those that are kept, and what may not come in by a text."""

import pytest

from engine.operations.revising import foreign
from engine.revisions import IN_FORCE, Archive
from tests.support.api import CONFIG, api_of, ended

LATER = CONFIG.replace('hostname = "mx.example.org"', 'hostname = "mx2.example.org"')


async def test_kept_revisions_are_listed_shown_and_compared(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("revisions:read") as program:
        assert (await program.get("/revisions")).status_code == 404
        archive = Archive(api.site.role.data)
        first = archive.settle(archive.take(CONFIG, {}, by="ann"), IN_FORCE)
        archive.settle(archive.take(LATER, {"filters/a.py": "x = 1\n"}, by="bob", before=first.number), IN_FORCE)
        listed = (await program.get("/revisions")).json()
        assert [(one["number"], one["by"], one["became"], one["before"]) for one in listed] == [
            (1, "ann", "was in force", None),
            (2, "bob", "in force", 1),
        ]
        shown = (await program.get("/revisions/2")).json()
        assert (shown["text"], shown["files"]) == (LATER, {"filters/a.py": "x = 1\n"})
        difference = (await program.get("/revisions/1/changes")).json()
        assert {"what": "table", "name": "server", "how": "hostname"} in difference["changes"]
        assert '+hostname = "mx2.example.org"' in difference["lines"]
        assert (await program.get("/revisions/1/changes", params={"against": 1})).json() == {"changes": [], "lines": []}
        assert (await program.get("/revisions/9")).status_code == 404
        assert (await program.get("/revisions/trial")).status_code == 404


async def test_a_text_is_checked_with_all_its_mistakes(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("revisions:write") as program:
        good = await program.post("/revisions/checks", json={"text": CONFIG})
        assert good.json() == {"good": True, "problems": []}
        text = CONFIG.replace("hostname", "hostnmae").replace('"enqueue"', '"enqeue"')
        wrong = (await program.post("/revisions/checks", json={"text": text})).json()["problems"]
        assert {one["place"] for one in wrong} >= {"[server] hostnmae", "[lane.local] stages"}
        assert all(one["line"] for one in wrong if one["place"] == "[server] hostnmae")


async def test_without_a_server_nothing_is_put_in_force(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("revisions:write") as program:
        archive = Archive(api.site.role.data)
        archive.settle(archive.take(CONFIG, {}), IN_FORCE)
        done = await ended(program, await program.post("/revisions", json={"text": LATER}))
        assert (done["state"], done["problem"]["status"]) == ("failed", 503)
        assert "no server runs" in done["problem"]["detail"]


KNOWN = """
[server]
data = "var"
user = "postroad"

[acme]
hook = ["/usr/bin/hook"]

[stage.mine]
use = "filters/mine.py"

[stage.command]
command = ["/usr/bin/judge", "{sender}"]
"""


OIDC = """
[oidc]
issuer = "https://id.example.org"
audience = "postroad"

[web.oidc.firm]
issuer = "https://id.example.org"
client_id = "postroad"
client_secret_file = "secret"

[tls]
certificate = "tls.pem"
client_ca = "id.pem"

[directory.ldap]
servers = ["ldaps://ldap.example.org"]
bind_password_file = "bind.secret"

[shared]
url = "rediss://10.0.0.7"
"""


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (OIDC, []),
        (OIDC.replace("id.example.org", "evil.test"), ["oidc", "web.oidc.firm"]),
        (OIDC.replace('"secret"', '"/etc/shadow"'), ["web.oidc.firm"]),
        (OIDC.replace('"secret"', '"secret"\nroles = { "all" = ["owner"] }'), ["web.oidc.firm"]),
        (OIDC.replace("oidc.firm", "oidc.other"), ["web.oidc.other"]),
        ("web = { oidc = 1 }\noidc = 2\n", []),
        (OIDC.replace('"id.pem"', '"var/web/uploads/7/mine"'), ["tls.client_ca"]),
        (OIDC.replace("ldaps://ldap.example.org", "ldaps://evil.test"), ["directory.ldap"]),
        (OIDC.replace("bind.secret", "/etc/shadow"), ["directory.ldap"]),
        (OIDC.replace("directory.ldap", "directory.postgresql"), ["directory.postgresql"]),
        (OIDC.replace("10.0.0.7", "192.0.2.7"), ["shared"]),
        (OIDC.replace("tls.pem", "other.pem"), []),
        ("tls = 1\nshared = []\ndirectory = 3\n", []),
        ("", []),
    ],
)
def test_who_says_who_somebody_is_is_taken_from_the_file_alone(text, places):
    assert [one.place for one in foreign(text, OIDC)] == places


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (KNOWN, []),
        ("", []),
        ("no [toml", []),
        (KNOWN + '[stage.other]\nuse = "filters/mine.py"\n', []),
        (KNOWN + '[stage.other]\nuse = "filters/other.py"\n', ["stage.other.use"]),
        (KNOWN.replace("filters/mine.py", "os:system"), ["stage.mine.use"]),
        (KNOWN.replace("/usr/bin/hook", "/bin/sh"), ["acme.hook"]),
        (KNOWN.replace("/usr/bin/judge", "/bin/sh"), ["stage.command.command"]),
        (KNOWN + 'folder = "/tmp"\n', ["stage.command.command"]),
        ('[stage.x]\nuse = "filters/mine.py"\ncommand = ["/usr/bin/judge", "-c", "x"]\n', ["stage.x.command"]),
        ('[stage.x]\ncommand = ["/usr/bin/judge", "{sender}"]\n', []),
        (KNOWN.replace("postroad", "root"), ["server.user"]),
        (KNOWN.replace('"var"', '"/"'), ["server.data"]),
        ('stage = {x = {use = "a:b"}}\nserver = 1\nacme = []\n', ["stage.x.use"]),
        ('[stage.x]\nuse = ["a:b"]\n', ["stage.x.use"]),
    ],
)
def test_what_is_code_or_runs_it_is_taken_from_the_file_alone(text, places):
    assert [one.place for one in foreign(text, KNOWN)] == places
