"""Real milters, asked by the stage milter as any other server would ask them."""

import base64
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine import Message, Reject, Session, Verdict
from engine.authentication.dkim import verify
from engine.authentication.fields import split_message
from engine.net.names import Hostname
from engine.verdict import Changed
from stages.milter import Milter
from tests.authentication.zone import Asked
from tests.support.messages import message
from tests.support.milters import Running, clamav, opendkim, opendmarc, rspamd, spamassassin
from tests.support.programs import needs, run

RECEIVED = b"Received: from client.test ([192.0.2.1])\r\n\tby mx.example.org; Sun, 29 Nov 2026 02:00:00 +0000\r\n"
LETTER = (
    b"Received: from elsewhere; yesterday\r\nFrom: Ann <ann@example.org>\r\nTo: b@rcpt.test\r\nDate: today\r\n"
    b"SUBJECT:   a  subject \t with\r\n\t spaces  \r\nMessage-ID: <m@example.org>\r\n\r\n.a dot  \r\n\r\nend\r\n\r\n"
)
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*" + b"GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
VIRUS = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


def letter(content: bytes = LETTER, *, peer: str = "192.0.2.1", login: str = "") -> Message:
    given = message("b@rcpt.test", content=content, sender="ann@example.org")
    session = Session(peer=peer, helo="client.test", login=login)
    return replace(given, envelope=replace(given.envelope, session=session, prepended=RECEIVED))


async def verdicts(milter: AbstractContextManager[Running], *letters: Message) -> list[Verdict | Changed]:
    with milter as running:
        async with Milter(Hostname("mx.example.org"), connect=running.connect) as stage:
            return [await stage(one) for one in letters]


def whole(verdict: Verdict | Changed) -> bytes:
    assert isinstance(verdict, Message)
    return b"".join(verdict.chunks())


def key(folder: Path) -> tuple[Path, str]:
    """A private key for opendkim, and the record with its public half."""
    path = folder / "key.pem"
    run("openssl", "genrsa", "-traditional", "-out", str(path), "2048")
    path.chmod(0o600)
    run("openssl", "rsa", "-in", str(path), "-pubout", "-outform", "DER", "-out", str(folder / "public"))
    return path, f"v=DKIM1; k=rsa; p={base64.b64encode((folder / 'public').read_bytes()).decode()}"


@needs("opendkim", "openssl")
@pytest.mark.parametrize("canonical", ["simple/simple", "relaxed/relaxed"])
async def test_opendkim_signs_and_verifies(tmp_path: Path, canonical: str) -> None:
    file, record = key(tmp_path)
    signer = opendkim(
        tmp_path, Mode="sv", Domain="example.org", Selector="s", KeyFile=file, Canonicalization=canonical,
        OversignHeaders="From",
    )  # fmt: skip
    mine, network, others = await verdicts(
        signer, letter(login="ann@example.org"), letter(peer="127.0.0.1"), letter(peer="192.0.2.9")
    )
    assert b"DKIM-Signature" not in whole(others)
    records = tmp_path / "records"
    records.write_text(f"s._domainkey.example.org {record}\n")
    ask = Asked({"s._domainkey.example.org": record.encode()})
    for signed in (mine, network):
        fields, body = split_message([whole(signed)])
        assert [str(found.result) for found in await verify(fields, body, ask, 4e9)] == ["pass"]
        assert whole(signed).startswith(b"DKIM-Signature: v=1;")
    verifier = opendkim(tmp_path, Mode="v", TestDNSData=f"file:{records}", AuthservID="mx.example.org")
    assert isinstance(mine, Message)
    again = replace(letter(), content=mine.content, envelope=replace(mine.envelope, session=letter().session))
    good, bad = await verdicts(verifier, again, again.with_header("From", "eve@example.org"))
    assert isinstance(good, Message)
    assert isinstance(bad, Message)
    assert "dkim=pass" in (good.header("Authentication-Results") or "")
    assert "dkim=fail" in (bad.header("Authentication-Results") or "")


@needs("rspamd")
async def test_rspamd_refuses_spam(tmp_path: Path) -> None:
    spam = letter(LETTER + GTUBE + b"\r\n")
    good, refused, again, other = await verdicts(rspamd(tmp_path), letter(), spam, letter(), letter(peer="192.0.2.2"))
    assert all(isinstance(one, Message) for one in (good, again, other))
    assert isinstance(refused, Reject)
    assert (refused.text, refused.code) == ("Gtube pattern", "5.7.1")


@needs("clamav-milter", "clamd")
async def test_clamav_milter_refuses_a_virus(tmp_path: Path) -> None:
    large = letter(LETTER + b"a line of text\r\n" * 20_000)
    good, refused, sound = await verdicts(clamav(tmp_path, VIRUS), letter(), letter(LETTER + VIRUS + b"\r\n"), large)
    assert isinstance(good, Message)
    assert "clamav-milter" in (good.header("X-Virus-Scanned") or "")
    assert isinstance(refused, Reject)
    assert "Test.Virus" in refused.text
    assert isinstance(sound, Message)


@needs("spamass-milter", "spamd")
async def test_spamass_milter_marks_mail_and_refuses_spam(tmp_path: Path) -> None:
    marked, refused = await verdicts(spamassassin(tmp_path), letter(), letter(LETTER + GTUBE + b"\r\n"))
    assert isinstance(marked, Message)
    assert "SpamAssassin" in (marked.header("X-Spam-Checker-Version") or "")
    assert isinstance(refused, Reject)
    assert refused.text == "Blocked by SpamAssassin"


@needs("opendmarc")
async def test_opendmarc_says_what_it_found(tmp_path: Path) -> None:
    (found,) = await verdicts(opendmarc(tmp_path), letter())
    assert isinstance(found, Message)
    assert "dmarc=" in (found.header("Authentication-Results") or "")
