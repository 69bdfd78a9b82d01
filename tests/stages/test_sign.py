"""The stage `sign`: whose mail it signs, for which domain, and what it leaves alone."""

import json
import time
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

import stages.sign
from engine import Message, Session
from engine.authentication.arc import ArcResult, validate_arc
from engine.authentication.dkim import verify
from engine.authentication.fields import split_message
from engine.message import EDITED, Octets
from engine.net.dns import Resolver
from engine.net.zone import Zone, serve_zone
from engine.signing import Keyring, KeyStore
from engine.signing.publishing import txt
from stages.sign import LARGE, LOOK, Sign
from tests.authentication.letters import NOW, records
from tests.authentication.zone import Asked
from tests.support.keys import put_keys
from tests.support.messages import message
from tests.support.server import PATIENCE

DOMAINS = ("example.com", "example.org", "xn--bcher-kva.example")
KEYS = {name: record for domain in DOMAINS for name, record in records(domain).items()}
LOGIN = Session(peer="192.0.2.1", login="ann@example.com", trusted=True)
NETWORK = Session(peer="127.0.0.1", trusted=True)
STRANGER = Session(peer="192.0.2.1")
OURS = Session()


def letter(
    author: str = "Ann <ann@example.com>", session: Session = LOGIN, sender: str = "ann@example.com", more: str = ""
) -> Message:
    head = f"From: {author}\r\n" if author else ""
    about = message(content=f"{head}{more}Subject: hello\r\n\r\nhello\r\n".encode(), sender=sender)
    return replace(about, envelope=replace(about.envelope, session=session, prepended=b"Received: by us\r\n"))


@pytest.fixture
async def sign(tmp_path: Path, nursery):
    put_keys(tmp_path, *DOMAINS)
    async with Sign(Keyring(tmp_path), Resolver(["127.0.0.1:1"])) as stage:
        yield stage


async def signatures(about: object) -> list[str]:
    """The result, domain and algorithm of each, from the top."""
    assert isinstance(about, Message)
    fields, body = split_message(about.chunks())
    found = await verify(fields, body, Asked(KEYS), 2 * NOW)
    return [f"{each.result} {each.domain} {each.algorithm}" for each in found]


async def becomes(sign: Sign, wanted: list[str]) -> None:
    """By the real clock: a test's own does not wait for threads."""
    end = time.monotonic() + PATIENCE
    while (found := await signatures(await sign(letter()))) != wanted:
        assert time.monotonic() < end, found
        await trio.sleep(0.01)


def both(domain: str) -> list[str]:
    return [f"pass {domain} rsa-sha256", f"pass {domain} ed25519-sha256"]


def why(capfd: pytest.CaptureFixture[str]) -> list[str]:
    lines = map(json.loads, capfd.readouterr().err.splitlines())
    return [line["why"] for line in lines if line["event"] == "unsigned"]


@pytest.mark.parametrize(
    ("about", "domain"),
    [
        (letter(), "example.com"),
        (letter("ANN@Example.COM"), "example.com"),
        (letter("ann@example.com, bob@example.com"), "example.com"),
        (letter("ann@news.example.com", session=NETWORK), "example.com"),
        (letter("ann@news.example.com"), "example.com"),
        (letter("ann@example.org", session=NETWORK), "example.org"),
        (letter("ann@bücher.example", session=NETWORK), "xn--bcher-kva.example"),
        (letter("MAILER-DAEMON@mx.example.org", session=OURS, sender=""), "example.org"),
    ],
)
async def test_the_authors_domain_signs_with_all_its_keys(sign: Sign, about: Message, domain: str, capfd) -> None:
    done = await sign(about)
    assert await signatures(done) == both(domain)
    assert isinstance(done, Message)
    assert done.header_octets().startswith(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;")
    assert b"".join(done.chunks()).endswith(b"".join(about.chunks()))
    assert done.fact("sign.domain") == domain
    assert await sign(done) is done
    assert why(capfd) == []


@pytest.mark.parametrize(
    "about",
    [
        letter(session=STRANGER),
        letter("bob@example.net"),
        letter("bob@example.net", session=NETWORK),
        letter().with_fact(EDITED, True),
        letter(session=OURS).with_fact(EDITED, True),
    ],
)
async def test_mail_of_others_is_left_alone(sign: Sign, about: Message, capfd) -> None:
    assert await sign(about) is about
    assert why(capfd) == []


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        (letter(""), "the message has 0 From fields"),
        (letter(more="From: bob@example.org\r\n"), "the message has 2 From fields"),
        (letter("ann@example.com, bob@example.org"), "From names 2 domains"),
        (letter("undisclosed"), "From names 0 domains"),
        (letter("<ann@example.com"), "From has an address that nothing ends"),
        (letter(more="no field\r\n"), "the header holds a line that is no field"),
        (letter("ann@example.org"), "the login ann@example.com does not vouch for authors of example.org"),
        (
            letter(session=replace(LOGIN, login="ann@badexample.com")),
            "the login ann@badexample.com does not vouch for authors of example.com",
        ),
        (
            letter(session=replace(LOGIN, login="ann@news.example.com")),
            "the login ann@news.example.com does not vouch for authors of example.com",
        ),
    ],
)
async def test_what_cannot_be_signed_goes_on_and_says_why(sign: Sign, about: Message, reason: str, capfd) -> None:
    assert await sign(about) is about
    assert why(capfd) == [reason]


@pytest.mark.parametrize(
    ("authors", "author", "vouched"),
    [
        ("login", "info@example.org", False),
        ("sender", "info@example.org", True),
        ("sender", "ann@example.com", True),
        ("sender", "ann@xn--bcher-kva.example", False),
        ("login", "news@lists.example.com", True),
        ("any", "ann@xn--bcher-kva.example", True),
    ],
)
async def test_whom_a_login_vouches_for(sign: Sign, authors, author: str, vouched: bool) -> None:
    sign.authors = authors
    done = await sign(letter(author, sender="info@EXAMPLE.org"))
    assert len(await signatures(done)) == 2 * vouched


async def test_large_mail(sign: Sign) -> None:
    """It is signed in a thread."""
    about = letter()
    large = replace(about, content=Octets(b"".join(about.content.chunks()) + b"line  of text \r\n" * (LARGE // 16)))
    done = await sign(large)
    assert large.size > LARGE
    assert await signatures(done) == both("example.com")


async def test_nobody_can_add_a_field(sign: Sign) -> None:
    done = await sign(letter())
    assert isinstance(done, Message)
    for name in ("From", "To", "Subject", "Date", "Message-ID", "Reply-To", "Cc", "MIME-Version", "Content-Type"):
        forged = done.with_header(name, "eve@example.net")
        assert {each.split()[0] for each in await signatures(forged)} == {"fail"}, name


async def test_new_keys_are_taken_up(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(stages.sign, "LOOK", 0.01)
    async with Sign(Keyring(tmp_path), Resolver(["127.0.0.1:1"])) as sign:
        assert await signatures(await sign(letter())) == []
        store = put_keys(tmp_path, "example.com")
        await becomes(sign, both("example.com"))
        (store.folder / "example.com" / "signing" / "rsa.pem").unlink()
        await becomes(sign, both("example.com")[1:])


async def test_a_broken_key_is_told_once_and_the_other_one_signs(tmp_path: Path, autojump_clock, capfd) -> None:
    path = put_keys(tmp_path, "example.com").folder / "example.com" / "signing" / "rsa.pem"
    path.write_text("no key")
    async with Sign(Keyring(tmp_path), Resolver(["127.0.0.1:1"])) as sign:
        assert await signatures(await sign(letter())) == both("example.com")[1:]
        await trio.sleep(3 * LOOK)
    (trouble,) = map(json.loads, capfd.readouterr().err.splitlines())
    assert (trouble["event"], trouble["key"]) == ("key-trouble", str(path))


async def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch, capfd) -> None:
    def refused(_: KeyStore) -> None:
        raise PermissionError(13, "Permission denied", "dkim")

    monkeypatch.setattr(KeyStore, "find", refused)
    async with Sign(Keyring(tmp_path), Resolver(["127.0.0.1:1"])) as sign:
        assert await signatures(await sign(letter())) == []
    (trouble,) = map(json.loads, capfd.readouterr().err.splitlines())
    assert (trouble["event"], trouble["key"]) == ("key-trouble", str(tmp_path / "dkim"))


async def test_keys_that_wait_sign_once_they_are_published(tmp_path: Path, nursery, monkeypatch, capfd) -> None:
    monkeypatch.setattr(stages.sign, "ASK", 0.01)
    put_keys(tmp_path, "example.com", standing="waiting")
    zone = Zone("com", ttl=0)
    resolver = Resolver([await nursery.start(serve_zone, zone)])
    async with Sign(Keyring(tmp_path), resolver) as sign:
        await zone.until_asked("ed._domainkey.example", "TXT")
        assert await signatures(await sign(letter())) == []
        for name, record in records().items():
            zone.set(f"{name}.", "TXT", txt(record.decode()))
        await becomes(sign, both("example.com"))
    (taken,) = map(json.loads, capfd.readouterr().err.splitlines())
    assert (taken["event"], taken["domain"], sorted(taken["selectors"])) == (
        "keys-in-force", "example.com", ["ed", "rsa"],
    )  # fmt: skip


# -- what others wrote, and an alias sends on


def forwarded(original: str = "rfc822;info@example.com", arc: str | None = "none", told: str = "spf=pass") -> Message:
    about = letter("Zoe <zoe@example.net>", session=STRANGER, sender="zoe@example.net")
    recipients = tuple(replace(one, original=original) for one in about.envelope.recipients)
    prepended = f"Authentication-Results: mx.example.com;\r\n {told}\r\n".encode() if told else b""
    facts = {"arc.result": arc} if arc else {}
    return replace(about, envelope=replace(about.envelope, recipients=recipients, prepended=prepended, facts=facts))


async def chain(about: object) -> ArcResult:
    assert isinstance(about, Message)
    fields, body = split_message(about.chunks())
    return await validate_arc(fields, body, Asked(KEYS), time.time())


async def test_forwarded_mail_is_sealed_by_the_domain_that_forwards(sign: Sign, capfd) -> None:
    done = await sign(forwarded())
    found = await chain(done)
    assert (found.result, len(found.sets)) == ("pass", 1)
    assert (found.sets[0].domain, found.sets[0].signing_domain) == ("example.com", "example.com")
    assert found.sets[0].results.split() == ["mx.example.com;", "spf=pass"]
    assert done.fact("sign.sealed") == "example.com"
    assert await signatures(done) == []
    assert await sign(done) is done
    assert why(capfd) == []


async def test_the_next_link_of_a_chain(sign: Sign) -> None:
    first = await sign(forwarded())
    assert isinstance(first, Message)
    there = replace(first, content=Octets(b"".join(first.chunks())), envelope=forwarded(arc="pass").envelope)
    found = await chain(await sign(there))
    assert (found.result, len(found.sets), found.oldest_pass) == ("pass", 2, 0)


@pytest.mark.parametrize(
    "about",
    [
        forwarded("rfc822;info@example.net"),  # we have no key of it
        forwarded(""),
        forwarded(arc=None),  # nobody looked at its chain
        forwarded(told=""),
    ],
)
async def test_forwarded_mail_that_cannot_be_sealed_is_left_alone(sign: Sign, about: Message, capfd) -> None:
    assert await sign(about) is about
    assert why(capfd) == []


async def test_a_seal_that_would_not_be_true_is_not_put(sign: Sign, capfd) -> None:
    about = forwarded(arc="pass")
    assert await sign(about) is about
    assert why(capfd) == ["the message has no chain, which cannot be pass"]
