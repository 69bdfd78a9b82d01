"""Mail from other servers by the API: a job, that can be stopped, and that tells no password."""

import trio

from tests.support.api import api_of, ended
from tests.support.imap_source import Box, Source, serving

ANN, EVE = "ann@example.org", "eve@example.net"
SECRET = "wonderland of old"


def a_source(**settings):
    return Source({"INBOX": Box().put(*(b"Subject: %d\r\n\r\n" % number for number in range(3)))}, **settings)


def asked(source, address=ANN, **values):
    return {"address": address, "server": f"imap://127.0.0.1:{source.port}", "password": SECRET, **values}


async def test_mail_comes_and_what_could_not_be_taken_is_told(tmp_path):
    async with serving(a_source(nil={2})) as source, api_of(tmp_path) as api:
        api.site.directory.add_account(ANN)
        async with api.with_scopes("mailboxes:write") as program:
            key = {"idempotency-key": "once"}
            job = await ended(program, await program.post("/migrations", json=asked(source), headers=key))
            assert (job["state"], job["done"], job["total"]) == ("done", 3, 3)
            result = job["result"]
            assert (result["state"], result["taken"], result["missing"]) == ("done", 2, 1)
            assert result["missed"] == [
                {"folder": "INBOX", "uid": 2, "size": 14, "why": "the source gives nothing of it"}
            ]
            same = await program.post("/migrations", json=asked(source), headers=key)
            assert same.json()["id"] == job["id"]
            assert SECRET not in str(job)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


async def test_it_is_stopped_while_it_waits(tmp_path):
    async with serving(a_source(sign_in=[b"NO [LIMIT] later"] * 1000)) as source, api_of(tmp_path) as api:
        api.site.directory.add_account(ANN)
        async with api.with_scopes("mailboxes:write") as program:
            begun = await program.post("/migrations", json=asked(source))
            assert begun.json()["state"] == "running"
            with trio.fail_after(60):
                assert (await program.delete(f"/jobs/{begun.json()['id']}")).status_code < 300
                assert (await ended(program, begun))["state"] == "stopped"


async def test_a_login_that_is_refused_is_a_problem(tmp_path):
    async with serving(a_source(sign_in=[b"NO [AUTHENTICATIONFAILED] no"])) as source, api_of(tmp_path) as api:
        api.site.directory.add_account(ANN)
        async with api.with_scopes("mailboxes:write") as program:
            job = await ended(program, await program.post("/migrations", json=asked(source)))
    assert job["state"] == "failed"
    assert job["problem"]["detail"] == "refused: [AUTHENTICATIONFAILED] no"


async def test_no_token_puts_mail_before_somebody_with_a_role(tmp_path):
    async with serving(a_source()) as source, api_of(tmp_path) as api:
        api.site.directory.add_account(ANN)
        api.site.directory.set_roles(ANN, ("owner",))
        async with api.with_scopes("mailboxes:write") as program:
            job = await ended(program, await program.post("/migrations", json=asked(source)))
        assert (job["state"], job["problem"]["status"]) == ("failed", 403)
        ann = api.site.directory.account(ANN).id
        assert not [one for one in api.site.context.mailboxes().folders(ann) if one.number]


async def test_a_token_of_a_domain_moves_into_that_one_from_public_addresses(tmp_path):
    async with serving(a_source()) as source, api_of(tmp_path) as api:
        for address in (ANN, EVE):
            api.site.directory.add_account(address)
        async with api.with_scopes("mailboxes:write", domains=("example.org",)) as program:
            assert (await program.post("/migrations", json=asked(source, EVE))).status_code == 403
            job = await ended(program, await program.post("/migrations", json=asked(source)))
            assert job["problem"]["detail"] == "refused: 127.0.0.1 is at no public address"
            assert source.asked == []
        async with api.with_scopes("mailboxes:read") as program:
            assert (await program.post("/migrations", json=asked(source))).status_code == 403


async def test_what_cannot_be_meant_is_said_with_its_place(tmp_path):
    async with serving(a_source()) as source, api_of(tmp_path) as api:
        api.site.directory.add_account(ANN)
        async with api.with_scopes("mailboxes:write") as program:
            for values, place in (({"server": "http://x"}, "body.server"), ({"into": "a//b"}, "body.into")):
                answer = await program.post("/migrations", json=asked(source, **values))
                assert (answer.status_code, answer.json()["mistakes"][0]["place"]) == (422, place)
