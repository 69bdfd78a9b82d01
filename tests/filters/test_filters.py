"""The filters that come along: what each does with mail, called as the engine calls it, with settings as in TOML."""

import base64
import tomllib
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from engine import Defer, Discard, Each, Message, Quarantine, Reject, Route, Session, Verdict
from engine.config import Stage, convert
from engine.mime.structure import structure
from engine.runtime.stages import RunningStage
from engine.stage import load_stage
from filters.business_hours import until_open
from filters.data_leaks import numbers
from filters.large_at_night import until_night
from tests.support.messages import message
from tests.support.server import ROOT

ANN, BOB, CAT = "ann@example.org", "bob@example.org", "cat@far.test"
OUTSIDE = Session(peer="192.0.2.1")
INSIDE = Session(peer="192.0.2.2", login=ANN, trusted=True)
DAY, NIGHT = {"begin": time.min, "end": time.max}, {"begin": time.max.replace(microsecond=999_998), "end": time.max}
"""Always within, and hardly ever: a microsecond before midnight."""

ALL_DAY = {"begin": time(8), "end": time(8)}


def letter(text: str, *recipients: str, sender: str = "x@far.test", session: Session = OUTSIDE) -> Message:
    about = message(*(recipients or (BOB,)), content=text.replace("\n", "\r\n").encode(), sender=sender)
    return replace(about, envelope=replace(about.envelope, session=session))


def stage(name: str, **settings: Any) -> RunningStage:
    spec = load_stage(name, f"filters/{name}.py", ROOT)
    assert spec.required <= settings.keys() <= spec.settings.keys()
    return RunningStage(Stage(spec, {key: convert(one, spec.settings[key]) for key, one in settings.items()}), {})


async def said(name: str, about: Message, **settings: Any) -> Verdict:
    verdict = await stage(name, **settings).call(about)
    assert not getattr(verdict, "log", "").startswith("the stage "), verdict  # it broke
    return verdict


async def changed(name: str, about: Message, **settings: Any) -> Message:
    verdict = await said(name, about, **settings)
    assert isinstance(verdict, Message)
    assert verdict is not about
    return verdict


async def each(name: str, about: Message, **settings: Any) -> Mapping[str, Any]:
    verdict = await said(name, about, **settings)
    assert isinstance(verdict, Each)
    return verdict.verdicts


def whole(about: Message) -> bytes:
    return b"".join(about.chunks())


# -- subjects


async def test_subject_tag() -> None:
    about = letter("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n\n")
    after = await changed("subject_tag", about)
    assert after.headers("Subject") == ["[EXTERN] Grüße"]
    assert await said("subject_tag", after) is after
    assert (await changed("subject_tag", letter("\n"), tag="[X]")).header("Subject") == "[X]"
    inside = letter("Subject: x\n\n", session=INSIDE)
    assert await said("subject_tag", inside) is inside


@pytest.mark.parametrize(
    ("author", "colleague"),
    [
        ("Ann Example <x@far.test>", "Ann Example"),
        ('"EXAMPLE, Ann" <x@far.test>', "Ann Example"),
        ("=?utf-8?q?=C3=81nn_Example?= <x@far.test>", "Ann Example"),
        ("=?utf-8?q?Example=2C_Ann?= <x@far.test>", "Ann Example"),
        ("Ann\u200b Exam\u00adple <x@far.test>", "Ann Example"),
        ('"Ann Example (CEO) via Portal" <x@far.test>', "Ann Example"),
        ("x@far.test, Bob Sample <y@far.test>", "Bob Sample"),
        ("Ann Example", "Ann Example"),
        ("Ann Example <ANN@home.test>", None),
        ("Ann <x@far.test>", None),
        ("Ann Examples <x@far.test>", None),
        ("x@far.test", None),
    ],
)
async def test_colleagues(author: str, colleague: str | None) -> None:
    settings = {"names": ["Ann Example", "Bob Sample"], "known": ["Ann@home.test"], "tag": "[!]"}
    about = letter(f"From: {author}\nSubject: x\n\n")
    verdict = await said("colleagues", about, **settings)
    assert isinstance(verdict, Message)
    assert (verdict.fact("colleagues.name"), verdict.header("Subject")) == (colleague, "[!] x" if colleague else "x")
    inside = replace(about, envelope=replace(about.envelope, session=INSIDE))
    assert await said("colleagues", inside, **settings) is inside
    assert await said("colleagues", about, names=["", "--"]) is about


@pytest.mark.parametrize(
    "content",
    [
        "Content-Type: text/calendar\n\n",
        'Content-Type: application/octet-stream; name="A.ICS"\n\n',
        'Content-Type: text/plain; name="a.ics"\nContent-Disposition: attachment; filename="a.txt"\n\n',
    ],
)
async def test_invitations(content: str) -> None:
    after = await changed("invitations", letter(f"Subject: x\n{content}"))
    assert (after.header("Subject"), after.header("X-Outside-Invitation")) == ("[OUTSIDE INVITATION] x", "yes")
    assert after.fact("invitations.outside") is True
    for about in (letter("Subject: x\n\n"), letter(content, session=INSIDE)):
        assert await said("invitations", about) is about


async def test_subject_flood() -> None:
    running = stage("subject_flood", most="2/1h")
    for subject in ("Offer 1", "Re: [x] offer 2"):
        about = letter(f"Subject: {subject}\n\n")
        assert await running.call(about) is about
    assert isinstance(await running.call(letter("Subject: OFFER 3!\n\n")), Defer)
    for text, session in (("Subject: other\n\n", OUTSIDE), ("\n", OUTSIDE), ("Subject: offer\n\n", INSIDE)):
        about = letter(text, session=session)
        assert await running.call(about) is about


async def test_keyword_redirect() -> None:
    settings = {"recipient": "support@example.org", "words": ["invoice"], "to": "billing@example.org"}
    about = letter("Subject: Your INVOICES\n\n", "Support@example.org", BOB)
    assert await each("keyword_redirect", about, **settings) == {
        "Support@example.org": Route("", ("billing@example.org",))
    }
    for other in (letter("Subject: x\n\n", "support@example.org"), letter("Subject: invoice\n\n", BOB)):
        assert await said("keyword_redirect", other, **settings) is other


async def test_foreign_scripts() -> None:
    russian = "Привет, как дела? Купите наши товары."
    for text in (f"Subject: {russian}\n\n", f"Subject: offer\nContent-Type: text/plain; charset=utf-8\n\n{russian}\n"):
        assert isinstance(await said("foreign_scripts", letter(text)), Reject)
        about = letter(text)
        assert await said("foreign_scripts", about, read=["LATIN", "CYRILLIC"]) is about
    styled = f"Content-Type: text/html; charset=utf-8\n\n<style>p {{color: red}}</style><p class=longer>{russian}</p>\n"
    assert isinstance(await said("foreign_scripts", letter(styled)), Reject)
    about = letter(styled)
    assert await said("foreign_scripts", about, read=["cyrillic"]) is about
    for text in (
        "Subject: Grüße, cœur\n\n",
        "\n",
        "Subject: 123\n\nA longer text in Latin. Да.\n",
        "Subject: \U0001d401\U0001d428\U0001d425\U0001d41d \uff2c\uff21\uff34\uff29\uff2e\n\n",  # bold, full width
    ):
        about = letter(text)
        assert await said("foreign_scripts", about) is about


# -- who may send what, and when


async def test_sender_size() -> None:
    settings = {"most": 100, "others": [{"sender": "far.test", "most": "1 KB"}, {"sender": ANN, "most": 0}]}
    settings["others"].append({"sender": "Boss@far.test", "most": "2 KB"})
    for sender, size, passes in (
        ("x@far.test", 900, True),
        ("x@far.test", 1001, False),
        (ANN, 1, False),
        (BOB, 200, False),
        ("boss@far.test", 1500, True),
    ):
        about = letter("." * size, sender=sender)
        verdict = await said("sender_size", about, **settings)
        assert (verdict is about) == passes
        assert passes or (isinstance(verdict, Reject) and verdict.code == "5.3.4")


async def test_allow_only() -> None:
    settings = {"recipient": "board@example.org", "senders": ["Ann@example.org", "Partner.test"]}
    for sender, passes in ((ANN.upper(), True), ("z@Partner.test", True), (BOB, False), ("", False)):
        about = letter("\n", "Board@example.org", BOB, sender=sender)
        verdict = await said("allow_only", about, **settings)
        assert (verdict is about) == passes
        assert passes or verdict.verdicts.keys() == {"Board@example.org"}
        refusal = await stage("allow_only", **settings).hook("at_recipient", OUTSIDE, sender, "board@example.org")
        assert (refusal is None) == passes


@pytest.mark.parametrize(
    "address", ['"board"@example.org', "BOARD@Example.ORG", "board+x@example.org", '"board+x"@example.org']
)
async def test_a_guarded_address_is_guarded_however_it_is_written(address: str) -> None:
    running = stage("allow_only", recipient="Board@example.org", senders=[ANN])
    assert isinstance(await running.hook("at_recipient", OUTSIDE, BOB, address), Reject)
    assert (
        await each("allow_only", letter("\n", address, BOB), recipient="board@example.org", senders=[ANN])
    ).keys() == {address}
    assert await running.hook("at_recipient", OUTSIDE, BOB, "board@far.test") is None


async def test_no_reply() -> None:
    settings = {"addresses": ["NoReply@Example.org"]}
    about = letter("\n", "NoReply@example.org", BOB)
    assert await each("no_reply", about, **settings) == {"NoReply@example.org": Discard("nobody reads this address")}
    refused = await each("no_reply", about, refuse="Write to help@", **settings)
    assert refused == {"NoReply@example.org": Reject("Write to help@")}
    for automatic in (
        letter("\n", "noreply@example.org", sender=""),
        letter("Auto-Submitted: auto-replied\n\n", "noreply@example.org"),
    ):
        assert [type(one) for one in (await each("no_reply", automatic, refuse="no", **settings)).values()] == [Discard]
    other = letter("\n", BOB)
    assert await said("no_reply", other, **settings) is other


@pytest.mark.parametrize(
    ("text", "recipients", "passes"),
    [
        ("Precedence: bulk\n\n", 1, False),
        ("List-Id: <x>\n\n", 1, False),
        ("Precedence: bulk\nList-Unsubscribe: <https://x.test>\n\n", 1, True),
        ("Precedence: bulk\nAuto-Submitted: auto-replied (vacation)\n\n", 1, True),
        ("Precedence: bulk\nAuto-Submitted: auto-generated\n\n", 1, False),
        ("\n", 49, True),
        ("\n", 50, False),
    ],
)
async def test_needs_unsubscribe(text: str, recipients: int, passes: bool) -> None:
    about = letter(text, *(f"{number}@far.test" for number in range(recipients)))
    verdict = await said("needs_unsubscribe", about)
    assert verdict is about if passes else isinstance(verdict, Reject)
    bounce = replace(about, envelope=replace(about.envelope, sender=""))
    assert await said("needs_unsubscribe", bounce) is bounce


async def test_business_hours() -> None:
    settings = {"domain": "Example.org", "days": [1, 2, 3, 4, 5, 6, 7]}
    about = letter("\n", BOB, CAT)
    held = await each("business_hours", about, **settings, **NIGHT)
    assert held.keys() == {BOB}
    assert 0 < held[BOB].retry_after <= timedelta(days=1).total_seconds()
    for opened in (DAY, ALL_DAY):
        assert await said("business_hours", about, **settings, **opened) is about
    other = letter("\n", CAT)
    assert await said("business_hours", other, **settings, **NIGHT) is other


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-03-02 08:00", None),  # a Monday
        ("2026-03-02 17:59:59", None),
        ("2026-03-02 07:59", "2026-03-02 08:00"),
        ("2026-03-02 18:00", "2026-03-03 08:00"),
        ("2026-03-06 20:00", "2026-03-09 08:00"),
        ("2026-03-07 12:00", "2026-03-09 08:00"),
    ],
)
def test_when_the_doors_open(now: str, opens: str | None) -> None:
    moment = datetime.fromisoformat(now).astimezone()
    pause = until_open(moment, time(8), time(18), (1, 2, 3, 4, 5))
    assert pause == (datetime.fromisoformat(opens).astimezone() - moment if opens else timedelta(0))
    assert until_open(moment, time(8), time(18), ()) == timedelta(0)  # never: then nothing is held


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-03-02 22:00", None),  # a Monday
        ("2026-03-03 05:59", None),
        ("2026-03-03 06:00", "2026-03-03 22:00"),
        ("2026-03-07 05:59", None),  # of Friday's night
        ("2026-03-07 06:00", "2026-03-09 22:00"),
        ("2026-03-07 23:00", "2026-03-09 22:00"),
        ("2026-03-09 03:00", "2026-03-09 22:00"),
    ],
)
def test_when_the_doors_open_for_the_night(now: str, opens: str | None) -> None:
    moment = datetime.fromisoformat(now).astimezone()
    pause = until_open(moment, time(22), time(6), (1, 2, 3, 4, 5))
    assert pause == (datetime.fromisoformat(opens).astimezone() - moment if opens else timedelta(0))


async def test_large_at_night() -> None:
    about = letter("." * 1000)
    verdict = await said("large_at_night", about, limit=999, **NIGHT)
    assert isinstance(verdict, Defer)
    assert 0 < verdict.retry_after <= timedelta(days=1).total_seconds()
    for night in (DAY, ALL_DAY):
        assert await said("large_at_night", about, limit=999, **night) is about
    assert await said("large_at_night", about, limit=1000, **NIGHT) is about


@pytest.mark.parametrize(
    ("now", "hours"), [("19:00", 1), ("20:00", 0), ("23:59", 0), ("05:59", 0), ("06:00", 14), ("12:00", 8)]
)
def test_when_the_night_begins(now: str, hours: int) -> None:
    moment = datetime.fromisoformat(f"2026-03-02 {now}").astimezone()
    assert until_night(moment, time(20), time(6)) == timedelta(hours=hours)
    assert until_night(moment, time(1), time(2)) > timedelta(0)


# -- where mail goes


async def test_journal() -> None:
    settings = {"domain": "example.org", "archive": "all@archive.test"}
    copy = Route("", ("all@archive.test",), notify="NEVER")
    for about in (letter("\n", CAT, BOB), letter("\n", CAT, sender=ANN)):
        assert await each("journal", about, **settings) == {CAT: (Route("", (CAT,)), copy)}
    for about in (letter("\n", CAT), letter("\n", BOB, "All@archive.test"), letter("\n", CAT, sender="")):
        assert await said("journal", about, **settings) is about


async def test_copy_to_crm() -> None:
    settings = {"people": ["Ann@example.org"], "to": "in@crm.test"}
    found = await each("copy_to_crm", letter("\n", BOB, CAT, sender=ANN), **settings)
    assert found == {CAT: (Route("", (CAT,)), Route("", ("in@crm.test",), notify="NEVER"))}
    for about in (
        letter("\n", BOB, sender=ANN),
        letter("\n", CAT, sender=BOB),
        letter("\n", "in@crm.test", sender=ANN),
        letter("\n", CAT, "In@crm.test", sender=ANN),
    ):
        assert await said("copy_to_crm", about, **settings) is about


async def test_plus_user() -> None:
    about = letter("\n", "Team+anna@example.org", "other+anna@example.org", "team+@example.org", BOB)
    found = await each("plus_user", about, teams=["Team@example.org"])
    assert found == {"Team+anna@example.org": Route("", ("anna@example.org",))}
    assert await said("plus_user", about, teams=[]) is about


async def test_list_reply_to() -> None:
    about = letter("Reply-To: x@far.test\n\n", "Crew@example.org", BOB)
    (address, after), *others = (await each("list_reply_to", about, lists=["CREW@example.org"])).items()
    assert (address, after.headers("Reply-To"), others) == ("Crew@example.org", ["Crew@example.org"], [])
    assert await said("list_reply_to", about, lists=[]) is about


# -- what mail says


async def test_private_headers() -> None:
    about = letter("Received: by a\nX-Mailer: x\nSubject: s\n\nX-Mailer: y\n").with_field(b"Received: by b\r\n")
    assert whole(await changed("private_headers", about)) == b"Subject: s\r\n\r\nX-Mailer: y\r\n"
    assert whole(await changed("private_headers", about, fields=["subject"])).count(b"Received") == 2
    assert await said("private_headers", about, fields=[]) is about


async def test_masquerade() -> None:
    name = "=?utf-8?q?Gr=C3=BC=C3=9Fe?="
    about = letter(
        f"Subject: x\nFrom: {name}\n <root@Web1.Example.org>\n\nroot@web1.example.org\n", sender="root@a.b.example.org"
    )
    after = await changed("masquerade", about, domains=["example.org"])
    assert after.sender == "root@example.org"
    assert after.header_octets() == f"From: {name}\r\n <root@Example.org>\r\nSubject: x\r\n".encode()
    for sender in ("x@example.org", "x@notexample.org", "x@a.example.org.test", ""):
        about = letter(f"From: <{sender}>\n\n", sender=sender)
        assert await said("masquerade", about, domains=["example.org"]) is about


FOOTERS = [{"domain": "Example.org", "text": "ACME", "html": "<p>ACME</p>"}]


async def test_disclaimer() -> None:
    about = letter("Subject: x\n\nHello\n", sender=ANN)
    after = await changed("disclaimer", about, footers=FOOTERS)
    assert whole(after) == b"Subject: x\r\n\r\nHello\r\n\r\nACME\r\n"
    assert await said("disclaimer", after, footers=FOOTERS) is after
    for other, more in (
        (letter("\nHello\n", sender=CAT), {}),
        (about, {"largest": 10}),
        (letter("Content-Type: application/pkcs7-mime\n\nx\n", sender=ANN), {}),
    ):
        assert await said("disclaimer", other, footers=FOOTERS, **more) is other


@pytest.mark.parametrize(
    ("text", "has_it"),
    [
        ("\n> ACME Ltd,\n> London\n", True),
        ("\n>> ACME Ltd, London\n", True),
        ("Content-Type: text/html\n\n<blockquote><p>ACME\nLtd, London</p></blockquote>\n", True),
        ("\nACME Ltd of London\n", False),
        ("\n", False),
        ("Content-Type: text/html\n\n", False),
    ],
)
async def test_a_footer_is_not_added_to_what_quotes_it(text: str, has_it: bool) -> None:
    footer = {"domain": "example.org", "text": "ACME Ltd,\nLondon", "html": "<p>ACME Ltd, London</p>"}
    about = letter(text, sender=ANN)
    assert (await said("disclaimer", about, footers=[footer]) is about) == has_it


ATTACHED = """Content-Type: multipart/mixed; boundary=b

--b

Hello
--b
Content-Type: application/octet-stream; name="{name}"

MZ
--b--
"""


@pytest.mark.parametrize("name", ["a.exe", "A.EXE", "a.pdf.exe", "a.exe. "])
async def test_strip_attachments(name: str) -> None:
    after = await changed("strip_attachments", letter(ATTACHED.replace("{name}", name)), endings=[".EXE"])
    assert f"The attachment {name.strip()}".encode() in whole(after).replace(b"=\r\n", b"")
    assert b"MZ" not in whole(after)
    assert b"Hello" in whole(after)
    assert [part.media for part in structure([whole(after)]).walk()][1:] == [b"text/plain"] * 2
    assert after.fact("strip_attachments.done") is True


async def test_each_name_of_an_attachment_counts() -> None:
    text = ATTACHED.replace("{name}", "a.exe").replace(
        "\n\nMZ", "\nContent-Disposition: attachment; filename=a.txt\n\nMZ"
    )
    assert b"The attachment a.exe" in whole(await changed("strip_attachments", letter(text)))


async def test_strip_attachments_leaves_others() -> None:
    about = letter(ATTACHED.replace("{name}", "a.exe.pdf"))
    assert await said("strip_attachments", about) is about


CARD, IBAN = "4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"Card: {CARD}.", 1),
        ("5500-0000-0000-0004", 1),
        ("340000000000009", 1),
        ("4111 1111 1111 1112", 0),
        ("0000000000000000", 0),
        ("12345678901234567890123", 0),
        (f"to {IBAN}", 1),
        ("DE89370400440532013000, please", 1),
        ("DE89370400440532013001", 0),
        (f"{CARD} and {IBAN}", 2),
        (f"https://x.test/a-{CARD.replace(' ', '')}", 0),
    ],
)
def test_numbers(text: str, found: int) -> None:
    assert len(set(numbers(text))) == found


UTF_16 = "Content-Type: text/html; charset=utf-16\nContent-Transfer-Encoding: base64\n\n{}\n".format(
    base64.b64encode(CARD.encode("utf-16")).decode()
)


async def test_data_leaks() -> None:
    shown = CARD.replace(" 1111 ", "&nbsp;<b>1111</b> ")
    for text in (
        f"\n{CARD}\n",
        f"Content-Type: text/csv\n\na;{IBAN};b\n",
        UTF_16,
        f"Subject: {CARD}\n\n",
        f"Content-Type: text/html\n\n<p>{shown}</p>\n",
    ):
        about = letter(text)
        assert await said("data_leaks", about) == Quarantine("numbers of cards or accounts")
        assert await said("data_leaks", about, most=1) is about
    for text in (f"Content-Type: image/png\n\n{CARD}\n", f"Content-Type: text/html\n\n<p id='{CARD}'>x</p>\n"):
        about = letter(text)
        assert await said("data_leaks", about) is about


# -- their manuals


FILES = sorted(path.stem for path in (ROOT / "filters").glob("*.py"))


@pytest.mark.parametrize(
    "name", [name for name in FILES if name not in {"needs_subject", "tag_external", "hold_overnight"}]
)
def test_the_example_of_the_manual_fits(name: str) -> None:
    """What stands indented in the docstring is a piece of pipeline.toml."""
    spec = load_stage(name, f"filters/{name}.py", ROOT)
    manual = __import__(f"filters.{name}", fromlist=["x"]).__doc__
    shown = tomllib.loads("\n".join(line for line in manual.splitlines() if line.startswith("    ")))
    given = shown["stage"][name]
    assert given.pop("use") == f"filters/{name}.py"
    given.pop("when", None)
    assert spec.required <= given.keys()
    for key, value in given.items():
        convert(value, spec.settings[key])
    assert "Stands " in manual
