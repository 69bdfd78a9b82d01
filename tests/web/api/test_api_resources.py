"""Accounts, domains, quotas, lists and parked mail by the API: what is done, who may, and what is never told."""

from typing import Any

import httpx2
import pytest

from engine.directory import Limit
from engine.directory.totp import new_secret
from engine.operations import filling
from engine.web.api.rows import ROWS
from tests.support.api import api_of
from tests.support.parked import parked

ANN, EVE = "ann@example.org", "eve@example.net"
SECRET = "a very secret word"


def good(response: httpx2.Response) -> Any:
    assert response.is_success, response.text
    return response.json() if response.content else None


async def test_an_account_comes_changes_and_goes(tmp_path, told):
    async with api_of(tmp_path) as api, api.with_scopes("accounts:read", "accounts:write") as program:
        added = await program.post("/accounts", json={"address": "Ann@Example.org", "password": SECRET})
        assert (added.status_code, added.json()["address"], added.json()["has_password"]) == (201, ANN, True)
        assert api.site.directory.verify(ANN, SECRET)
        assert good(await program.get(f"/accounts/{ANN}")) == added.json()
        assert good(await program.patch(f"/accounts/{ANN}", json={"admin": True}))["admin"]
        suspended = good(await program.patch(f"/accounts/{ANN}", json={"suspended": True}))
        assert (suspended["admin"], suspended["suspended"]) == (True, True)
        assert not good(await program.patch(f"/accounts/{ANN}", json={"suspended": False}))["suspended"]
        assert good(await program.put(f"/accounts/{ANN}/password", json={"password": "another"}))["address"] == ANN
        assert api.site.directory.verify(ANN, "another")
        granted = await program.post(f"/accounts/{ANN}/send-as", json={"add": ["@example.net"]})
        assert good(granted)["send_as"] == ["@example.net"]
        assert good(await program.post(f"/accounts/{ANN}/send-as", json={"remove": ["@example.net"]}))["send_as"] == []
        for change, after in (({"add": [EVE]}, [EVE]), ({"remove": [EVE]}, [])):
            changed = good(await program.post(f"/accounts/{ANN}/on-behalf", json=change))
            assert (changed["on_behalf"], changed["send_as"]) == (after, [])
        found = good(await program.get("/accounts/find", params={"address": "ann+tag@example.org"}))
        assert (found["kind"], found["address"]) == ("account", ANN)
        gone = good(await program.delete(f"/accounts/{ANN}", params={"keep_mail": "true"}))
        assert gone == {"address": ANN, "id": 1, "erased": False}
        assert (await program.get(f"/accounts/{ANN}")).status_code == 404
        assert api.site.directory.leavers() == []
    changes = [(name, values["by"]) for name, values in told if name.startswith("account-")]
    assert changes == [
        ("account-added", "token:t0"),
        *[("account-changed", "token:t0")] * 8,
        ("account-removed", "token:t0"),
    ]


async def test_mail_is_erased_with_its_account(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("accounts:write") as program:
        api.site.directory.add_account(ANN)
        assert good(await program.delete(f"/accounts/{ANN}"))["erased"] is True
        assert api.site.directory.leavers() == []


async def test_mail_that_nobody_erases_now_is_left_to_the_server(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("accounts:write") as program:
        del api.site.context.change  # no owner of the mailboxes answers
        api.site.directory.add_account(ANN)
        assert good(await program.delete(f"/accounts/{ANN}"))["erased"] is False
        assert api.site.directory.leavers() == [1]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/password", {"password": SECRET}),
        ("DELETE", "/totp", None),
        ("PATCH", "", {"admin": True}),
        ("POST", "/send-as", {"add": ["x@example.org"]}),
        ("POST", "/on-behalf", {"add": ["x@example.org"]}),
        ("DELETE", "/app-passwords/phone", None),
        ("DELETE", "", None),
    ],
)
async def test_no_token_becomes_somebody_with_a_role(tmp_path, method, path, body):
    async with api_of(tmp_path) as api, api.with_scopes("accounts:write") as program:
        directory = api.site.directory
        directory.add_account(ANN)
        directory.set_totp(ANN, new_secret())
        directory.add_app_password(ANN, "phone", ("imap",))
        directory.set_roles(ANN, ("owner",))
        before = directory.account(ANN)
        refused = await program.request(method, f"/accounts/{ANN}{path}", json=body)
        assert (refused.status_code, directory.account(ANN)) == (403, before), refused.text
        assert "owner" in refused.text
        directory.set_roles(ANN, (), ("owner",))
        assert (await program.request(method, f"/accounts/{ANN}{path}", json=body)).is_success


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", f"/quotas/{ANN}", {"octets": 1}),
        ("DELETE", f"/quotas/{ANN}", None),
        ("POST", f"/accounts/{ANN}/rights", {"folder": "INBOX", "who": EVE, "rights": "lr"}),
        ("POST", f"/accounts/{ANN}/rights", {"folder": "INBOX", "who": EVE, "rights": "-x"}),
        ("POST", f"/accounts/{ANN}/undelete", {}),
    ],
)
async def test_no_token_touches_the_mail_of_somebody_with_a_role(tmp_path, method, path, body):
    async with api_of(tmp_path) as api, api.with_scopes("accounts:write", "mailboxes:write") as program:
        for address in (ANN, EVE):
            api.site.directory.add_account(address)
        await program.post(f"/accounts/{ANN}/rights", json={"folder": "INBOX", "who": EVE, "rights": "lrx"})
        good(await program.request(method, path, json=body))
        api.site.directory.set_roles(ANN, ("owner",))
        refused = await program.request(method, path, json=body)
        assert refused.status_code == 403, refused.text
        assert "owner" in refused.text


async def test_pages_have_every_account_once(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("accounts:read") as program:
        for number in range(25):
            api.site.directory.add_account(f"u{number}@example.org")
        api.site.directory.add_account(EVE)
        found, cursor = [], ""
        while True:
            one = good(await program.get("/accounts", params={"limit": 10, "cursor": cursor, "domain": "Example.ORG"}))
            found += [row["address"] for row in one["items"]]
            cursor = one["next"]
            if not cursor:
                break
        assert found == sorted(f"u{number}@example.org" for number in range(25))
        assert (await program.get("/accounts", params={"cursor": "_w"})).status_code == 422


async def test_passwords_go_in_and_never_out(tmp_path, told):
    """Whatever is asked for of an account that has all kinds of secrets."""
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        directory = api.site.directory
        directory.add_account(ANN, SECRET)
        password = directory.add_app_password(ANN, "phone", ["imap"])
        answers = []
        for row in ROWS:
            if row.part in ("accounts", "quotas", "aliases", "groups") and row.method == "GET":
                query = {"address": ANN} if row.path.endswith("find") else {}
                answers.append(await program.get(row.path.format(address=ANN, name=ANN), params=query))
        answers += [
            await program.put(f"/accounts/{ANN}/password", json={"password": SECRET}),
            await program.put(f"/accounts/{ANN}/password", json={"password": SECRET, "x": 1}),
            await program.put(f"/accounts/{ANN}/password", json={"password": [SECRET]}),
            await program.post("/accounts", json={"address": ANN, "password": SECRET}),
            await program.post("/accounts/import", json={"csv": f"address,password\nbob@example.org,{SECRET}\n"}),
            await program.post("/accounts/import", json={"csv": f"address,password\nbob,{SECRET}\n"}),
            await program.get("/jobs"),
        ]
    assert "phone" in "".join(one.text for one in answers)
    for text in (*(one.text for one in answers), str(told)):
        assert not [one for one in (SECRET, password, "argon2") if one in text]
    answered = {repr(row.shape.answer) for row in ROWS}
    assert not [one for one in answered if "NewAppPassword" in one or "NewTotp" in one]


async def test_app_passwords_are_revoked_and_the_second_factor_taken_away(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("accounts:read", "accounts:write") as program:
        directory = api.site.directory
        directory.add_account(ANN, SECRET)
        directory.add_app_password(ANN, "phone", ["imap"])
        directory.set_totp(ANN, b"x" * 20)
        assert [one["name"] for one in good(await program.get(f"/accounts/{ANN}/app-passwords"))] == ["phone"]
        assert (await program.delete(f"/accounts/{ANN}/app-passwords/phone")).status_code == 204
        assert (await program.delete(f"/accounts/{ANN}/app-passwords/phone")).status_code == 404
        assert good(await program.delete(f"/accounts/{ANN}/totp"))["has_totp"] is False


async def test_domains_aliases_groups_and_quotas(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        assert (await program.post("/domains", json={"name": "example.com"})).status_code == 201
        assert (await program.post("/domains", json={"name": "example.com"})).status_code == 409
        assert (await program.post("/domains", json={"name": "no domain"})).status_code == 422
        names = [one["name"] for one in good(await program.get("/domains"))["items"]]
        assert names == ["example.com", "example.net", "example.org"]
        api.site.directory.add_account("bob@example.com")
        assert (await program.delete("/domains/example.com")).status_code == 409
        assert good(await program.delete("/domains/example.com", params={"force": "true"}))["name"] == "example.com"
        api.site.directory.add_account(ANN)
        made = await program.post("/aliases", json={"address": "all@example.org", "targets": [ANN, "who@example.org"]})
        assert (made.status_code, made.json()["unknown"]) == (201, ["who@example.org"])
        assert (await program.post("/aliases", json={"address": "@example.org", "targets": [ANN]})).status_code == 201
        assert (await program.delete("/aliases/@example.org")).status_code == 204
        assert (await program.post("/groups", json={"address": "staff@example.org"})).status_code == 201
        assert good(await program.patch("/groups/staff@example.org", json={"add": [ANN]}))["targets"] == [ANN]
        assert good(await program.get("/groups/staff@example.org"))["targets"] == [ANN]
        ruled = good(await program.patch("/groups/staff@example.org", json={"posting": "members", "owners": [ANN]}))
        assert (ruled["posting"], ruled["owners"], ruled["targets"]) == ("members", [ANN], [ANN])
        assert (await program.put(f"/quotas/{ANN}", json={"octets": 1000})).status_code == 204
        assert (await program.put("/quotas/example.org", json={"total_messages": 5})).status_code == 204
        assert (await program.put(f"/quotas/{ANN}", json={"total_octets": 1})).status_code == 422
        one, _ = good(await program.get("/quotas"))["items"]
        assert (one["limit_octets"], one["octets"], one["share"]) == (1000, 0, 0)
        assert [part["limit"] for part in good(await program.get(f"/quotas/{ANN}"))] == [1000, 0]
        assert (await program.delete(f"/quotas/{ANN}")).status_code == 204
        assert api.site.directory.account(ANN).limit == Limit()
        assert (await program.delete("/groups/staff@example.org")).status_code == 204


async def test_who_will_be_full(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("accounts:read") as program:
        directory, growth = api.site.directory, api.site.context.growth
        numbers = [directory.add_account(address).id for address in (ANN, EVE)]
        for address in (ANN, EVE):
            directory.limit(address, Limit(2_000, None))
        for day in range(10):
            growth.note(filling.today() - 10 + day, dict.fromkeys(numbers, (day * 100, 1)))
        rows = good(await program.get("/quotas/forecast"))
        assert rows == [{"address": address, "days": 11.0, "rests_on": 10} for address in (ANN, EVE)]
        assert good(await program.get("/quotas/forecast", params={"within": 10})) == []
        async with api.with_scopes("accounts:read", domains=["example.net"]) as limited:
            assert [row["address"] for row in good(await limited.get("/quotas/forecast"))] == [EVE]


async def test_lists_and_suppressions(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        put = {"word": "block", "entries": ["Example.com", "192.0.2.1"], "for": "@example.org"}
        assert [one["entry"] for one in good(await program.post("/lists", json=put))] == ["example.com", "192.0.2.1/32"]
        assert len(good(await program.get("/lists"))["items"]) == 2
        assert good(await program.get("/lists", params={"for": ""}))["items"] == []
        entry = {"entry": "192.0.2.1", "for": "@example.org"}
        assert (await program.delete("/lists", params=entry)).status_code == 204
        assert (await program.delete("/lists", params=entry)).status_code == 404
        put = {"entries": ["Bob@example.com"], "class": "complaint", "until": "2100-01-01T00:00:00Z"}
        (one,) = good(await program.post("/suppressions", json=put))
        assert (one["entry"], one["class"], one["until"]) == ("bob@example.com", "complaint", "2100-01-01T00:00:00Z")
        assert good(await program.post("/suppressions/import", json={"text": "a@example.com\nb@example.com\n"})) == {
            "entries": 2
        }
        assert len(good(await program.get("/suppressions"))["items"]) == 3
        assert good(await program.get("/suppressions/bob@example.com"))["class"] == "complaint"
        assert (await program.delete("/suppressions/bob@example.com")).status_code == 204
        assert (await program.get("/suppressions/bob@example.com")).status_code == 404
        assert (await program.post("/suppressions", json={"entries": ["x y"]})).status_code == 422


async def test_keys_are_made_checked_and_removed(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("domains:read", "domains:write") as program:
        made = good(await program.post("/domains/example.org/keys", json={"selector": "a"}))
        assert sorted(one["selector"] for one in made) == ["a-ed25519", "a-rsa"]
        assert all("PRIVATE" not in str(one) and one["record"].startswith("a-") for one in made)
        assert (await program.post("/domains/example.org/keys", json={})).status_code == 409
        used = good(await program.post("/domains/example.org/keys/use", json={"force": True}))
        assert {one["standing"] for one in used} == {"signing"}
        assert len(good(await program.get("/keys"))["items"]) == 2
        assert (await program.delete("/domains/example.org/keys/a-rsa")).status_code == 409
        assert good(await program.delete("/domains/example.org/keys/a-rsa", params={"force": "true"}))
        assert (await program.delete("/domains/example.org/keys/a-rsa")).status_code == 404
        assert good(await program.get("/certificates")) == {"certificates": [], "errors": []}


async def test_an_import_is_a_job_and_tells_all_mistakes(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("accounts:write") as program:
        text = "address,aliases\r\nann@example.org,info@example.org\r\nbob@example.net,\r\n"
        tried = good(await program.post("/accounts/import", json={"csv": text, "dry_run": True}))
        assert (tried["state"], tried["result"]) == ("done", {"added": 2, "there": 0, "left": 0})
        assert api.site.directory.accounts() == []
        done = good(await program.post("/accounts/import", json={"csv": text}))
        assert (done["done"], done["total"], done["result"]) == (2, 2, {"added": 2, "there": 0, "left": 0})
        again = good(await program.post("/accounts/import", json={"csv": text}))
        assert again["result"] == {"added": 0, "there": 2, "left": 0}
        wrong = await program.post("/accounts/import", json={"csv": text + "x\r\ny@example.com,\r\n"})
        assert wrong.status_code == 422
        assert [one["place"] for one in wrong.json()["mistakes"]] == ["body.csv line 4", "body.csv line 5"]


async def test_mailboxes_are_shared_looked_at_and_brought_back(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        for address in (ANN, EVE):
            api.site.directory.add_account(address)
        rights = {"folder": "INBOX", "who": EVE, "rights": "lr"}
        assert good(await program.post(f"/accounts/{ANN}/rights", json=rights)) == {"who": EVE, "rights": "lr"}
        more = {**rights, "rights": "+s"}
        assert good(await program.post(f"/accounts/{ANN}/rights", json=more))["rights"] == "lrs"
        less = {**rights, "rights": "-r"}
        assert good(await program.post(f"/accounts/{ANN}/rights", json=less))["rights"] == "ls"
        assert good(await program.get(f"/accounts/{ANN}/rights", params={"folder": "INBOX"})) == [
            {"who": EVE, "rights": "ls"}
        ]
        none = {**rights, "rights": ""}
        assert good(await program.post(f"/accounts/{ANN}/rights", json=none))["rights"] == ""
        assert (await program.post(f"/accounts/{ANN}/rights", json=none)).status_code == 404
        usage = good(await program.get(f"/accounts/{ANN}/usage"))
        assert usage["messages"] == 0
        assert "INBOX" in [one["name"] for one in usage["folders"]]
        back = {"since": "2026-01-01T00:00:00Z", "folder": "INBOX"}
        assert good(await program.post(f"/accounts/{ANN}/undelete", json=back)) == {"messages": 0}


async def test_a_line_break_in_a_path_leads_nowhere_and_is_told_as_all_else(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        for path in ("/accounts/a%0Ab@example.org", "/accounts/a%0Ab/app-passwords/x", "/%0A", "/lists/"):
            response = await program.delete(path)
            assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")


async def test_public_folders(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        assert (await program.post("/folders", json={"name": "News/local"})).status_code == 201
        assert (await program.post("/folders", json={"name": "News"})).status_code == 409
        rights = {"folder": "News/local", "who": "anyone", "rights": "lr"}
        assert good(await program.post("/folders/rights", json=rights))["rights"] == "lr"
        assert good(await program.get("/folders/rights", params={"folder": "News/local"})) == [
            {"who": "anyone", "rights": "lr"}
        ]
        assert [one["name"] for one in good(await program.get("/folders"))["items"]] == ["News", "News/local"]
        assert (await program.delete("/folders", params={"name": "News/local"})).status_code == 204
        assert (await program.delete("/folders", params={"name": "News/local"})).status_code == 404


def elsewhere(row) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
    """Path, query and content by which the row's operation would touch example.net."""
    known = {"address": EVE, "name": EVE if row.part in ("quotas", "accounts") else "example.net"}
    path = row.path.format(**known, selector="a-rsa", id="01J9ZK3V5Q8W2R7T4Y6N0BCDEF", entry=EVE)
    query, body = CONTENTS.get((row.method, row.path), ({}, {} if row.shape.body else None))
    return path, query, body


CONTENTS: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any] | None]] = {
    ("GET", "/accounts"): ({"domain": "example.net"}, None),
    ("POST", "/accounts"): ({}, {"address": "new@example.net"}),
    ("GET", "/accounts/find"): ({"address": EVE}, None),
    ("POST", "/accounts/import"): ({}, {"csv": "address\nnew@example.net\n"}),
    ("PATCH", "/accounts/{address}"): ({}, {"admin": True}),
    ("PUT", "/accounts/{address}/password"): ({}, {"password": "x"}),
    ("POST", "/accounts/{address}/send-as"): ({}, {"add": [ANN]}),
    ("POST", "/accounts/{address}/on-behalf"): ({}, {"add": [ANN]}),
    ("GET", "/accounts/{address}/rights"): ({"folder": "INBOX"}, None),
    ("POST", "/accounts/{address}/rights"): ({}, {"folder": "INBOX", "who": ANN, "rights": "lr"}),
    ("POST", "/aliases"): ({}, {"address": "@example.net", "targets": [ANN]}),
    ("POST", "/groups"): ({}, {"address": "new@example.net"}),
    ("PATCH", "/groups/{address}"): ({}, {"add": [ANN]}),
    ("POST", "/domains"): ({}, {"name": "example.com"}),
    ("PUT", "/quotas/{name}"): ({}, {"octets": 1}),
    ("GET", "/lists"): ({"for": "@example.net"}, None),
    ("POST", "/lists"): ({}, {"word": "allow", "entries": ["example.com"], "for": EVE}),
    ("DELETE", "/lists"): ({"entry": "example.com", "for": ""}, None),
    ("GET", "/reports/dmarc"): ({"account": EVE}, None),
    ("GET", "/reports/dmarc/days"): ({"domain": "example.net"}, None),
    ("GET", "/reports/tls"): ({"domain": "example.net"}, None),
    ("GET", "/reports/tls/days"): ({"domain": "example.net"}, None),
}

OURS = ("accounts", "aliases", "groups", "domains", "quotas", "lists", "reports")
CUT = {
    "/aliases",
    "/groups",
    "/domains",
    "/quotas",
    "/quotas/forecast",
    "/keys",
    "/quarantine",
    "/quarantine/decisions",
}
"""Lists that are cut to what the token may see."""


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.name) for row in ROWS if row.part in OURS and row.by_domain]
)  # fmt: skip
async def test_a_token_of_some_domains_touches_no_others(tmp_path, row):
    async with api_of(tmp_path) as api, api.with_scopes(domains=["example.org"]) as program:
        api.site.directory.add_account(EVE, "x")
        api.site.directory.add_group("staff@example.net", [EVE])
        before = api.site.directory.state, api.site.role.lists.changes
        path, query, body = elsewhere(row)
        response = await program.request(row.method, path, params=query, json=body)
        if row.method == "GET" and row.path in CUT:
            found = good(response)
            items = found if isinstance(found, list) else found["items"]
            assert not [one for one in items if "example.net" in str(one)]
        else:
            assert response.status_code == (422 if "import" in path else 403), response.text
        assert (api.site.directory.state, api.site.role.lists.changes) == before


async def test_senders_and_rights_lead_to_no_other_domain(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes(domains=["example.org"]) as program:
        api.site.directory.add_account(ANN)
        api.site.directory.add_account(EVE)
        for sender in (EVE, "@example.net"):
            assert (await program.post(f"/accounts/{ANN}/send-as", json={"add": [sender]})).status_code == 403
        for who in (EVE, "anyone", "group:staff@example.net"):
            rights = {"folder": "INBOX", "who": who, "rights": "lr"}
            assert (await program.post(f"/accounts/{ANN}/rights", json=rights)).status_code == 403
        assert api.site.directory.account(ANN).send_as == ()


async def test_parked_mail_is_seen_as_far_as_a_token_goes(tmp_path):
    both, theirs = (str(parked(tmp_path / "var", number, *to)) for number, to in enumerate([(ANN, EVE), (EVE,)], 1))
    async with (
        api_of(tmp_path) as api,
        api.with_scopes("quarantine:read", "quarantine:write") as program,
        api.with_scopes("quarantine:read", "quarantine:write", domains=["example.org"]) as limited,
    ):
        assert [(one["id"], one["to"]) for one in good(await program.get("/quarantine"))["items"]] == [
            (both, [ANN, EVE]), (theirs, [EVE]),
        ]  # fmt: skip
        (mine,) = good(await limited.get("/quarantine"))["items"]
        assert (mine["id"], mine["to"]) == (both, [ANN])
        shown = good(await limited.get(f"/quarantine/{both}"))
        assert {name: shown[name] for name in mine} == mine
        assert shown["text"] == "Watches, cheap"
        assert EVE not in str(shown)
        assert (await limited.get(f"/quarantine/{theirs}")).status_code == 404
        api.site.answers.known["queue", "delete"] = lambda *_: ""
        asked = {"decision": "delete", "ids": [both, theirs]}
        assert good(await limited.post("/quarantine/decisions", json=asked)) == {
            "done": [both], "undone": [{"id": theirs, "why": "it is not parked"}],
        }  # fmt: skip
        assert [question[4:] for question in api.site.answers.asked] == [(ANN,)]
        assert (await limited.post("/quarantine/decisions", json={**asked, "train": True})).status_code == 403
        assert (await program.post("/quarantine/decisions", json={"decision": "delete"})).status_code == 422
        assert good(await program.post("/quarantine/decisions", json={**asked, "train": True}))["done"] == [
            both,
            theirs,
        ]
        learnt = good(await program.post("/quarantine/train", json={"ids": [both], "kind": "spam"}))
        assert (learnt["new"], learnt["known"]) == (0, 1)
