"""Attachments: what is done about files of each kind, and what facts are left."""

import base64
import io
import zipfile
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import pytest

from engine import Message, Quarantine, Reject, Verdict
from engine.config import Stage, convert
from engine.mime.structure import structure
from engine.runtime.stages import RunningStage
from engine.stage import load_stage
from stages.attachments import LARGE, Attachments
from tests.support.messages import message
from tests.support.server import ROOT

EXE, TEXT = b"MZ\x90\0" + bytes(200), b"hello\n"


def letter(*files: tuple[str, bytes], html: str = "") -> Message:
    made = EmailMessage(policy=SMTP)
    made["Subject"] = "x"
    made.set_content("Hello\n")
    if html:
        made.add_alternative(html, subtype="html")
    for name, octets in files:
        made.add_attachment(octets, maintype="application", subtype="octet-stream", filename=name)
    return message(content=made.as_bytes())


def zipped(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, octets in files.items():
            archive.writestr(name.replace("_", "."), octets)
    return made.getvalue()


async def said(about: Message, **settings: Any) -> Verdict:
    """As the engine calls it, with settings as in TOML."""
    spec = load_stage("attachments", "", ROOT)
    stage = RunningStage(Stage(spec, {key: convert(one, spec.settings[key]) for key, one in settings.items()}), {})
    verdict = await stage.call(about)
    assert not getattr(verdict, "log", "").startswith("the stage "), verdict  # it broke
    return verdict


async def passed(about: Message, **settings: Any) -> Message:
    verdict = await said(about, **settings)
    assert isinstance(verdict, Message)
    return verdict


async def test_mail_without_attachments_is_passed_as_it_is() -> None:
    for about in (letter(), letter(html="<script>"), message(content=b"\r\nMZ"), message(content=b"")):
        assert await said(about) is about


@pytest.mark.parametrize(
    ("name", "octets", "kind"),
    [
        ("a.exe", TEXT, "executable"),
        ("a.txt", EXE, "executable"),
        ("a.js", TEXT, "script"),
        ("a.zip", zipped(b_vbs=TEXT), "script"),
        ("a.zip", zipped(b_zip=zipped(c_dat=EXE)), "executable"),
        ("a.pdf.lnk", TEXT, "double-extension, shortcut"),
        ("a\u202egpj.txt", TEXT, "hidden-name"),
    ],
)
async def test_what_mail_has_no_business_to_bring_is_refused(name: str, octets: bytes, kind: str) -> None:
    verdict = await said(letter((name, octets)))
    assert isinstance(verdict, Reject)
    assert verdict.text == f"Attachments of this kind are not taken here: {kind}"
    assert verdict.log.isprintable()
    assert isinstance(await said(letter((name, octets)), reject=[]), Message)


@pytest.mark.parametrize(
    "fields",
    [
        'Content-Type: text/plain; name="a.exe"\nContent-Disposition: attachment; filename="a.txt"',
        'Content-Type: application/x; name="a.txt"\nContent-Disposition: attachment; filename="a.exe"',
        "Content-Type: text/plain\nContent-Disposition: attachment; filename=a.txt; filename=a.exe",
        "Content-Type: text/plain\nContent-Disposition: attachment; filename=a.exe; filename*=utf-8''a.txt",
        "Content-Type: text/plain\nContent-Disposition: inline; filename*=utf-8''; filename=a.exe",
        "Content-Type: text/plain; name=a.txt; name*0=a.e; name*1=xe",
    ],
)
async def test_each_name_that_a_part_gives_to_its_file_counts(fields: str) -> None:
    """Readers differ in which of them they take."""
    about = message(content=f"{fields}\n\nhello\n".replace("\n", "\r\n").encode())
    assert isinstance(await said(about), Reject)
    inside = f"Content-Type: message/rfc822\n\n{fields}\n\nhello\n".replace("\n", "\r\n").encode()
    assert isinstance(await said(message(content=inside)), Reject)
    attached = letter(("a.eml", about.content))  # type: ignore[arg-type]
    assert isinstance(await said(attached), Reject)
    stripped = await passed(about, reject=[], strip=["executable"])
    assert b"was removed here" in b"".join(stripped.chunks())


async def test_a_mail_that_is_attached_in_base64_is_opened() -> None:
    """RFC 2046 5.2.1 forbids it, and mail programs open it."""
    inside = base64.encodebytes(b"X-First: 1\r\n" + letter(("a.exe", TEXT)).content)  # type: ignore[operator]
    head = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert isinstance(await said(message(content=head + inside.replace(b"\n", b"\r\n"))), Reject)


async def test_the_worst_counts() -> None:
    about = letter(("a.docm", TEXT), ("b.exe", TEXT))
    settings = {"reject": ["executable"], "quarantine": ["macros"]}
    assert isinstance(await said(about, **settings), Reject)
    assert await said(letter(("a.docm", TEXT)), **settings) == Quarantine("attachments: macros")
    assert await said(about, reject=[], quarantine=["macros", "executable"]) == Quarantine(
        "attachments: executable, macros"
    )


async def test_patterns_of_names() -> None:
    settings = {"reject": [], "quarantine": ["*invoice*.PDF"]}
    assert await said(letter(("Your-Invoice-1.pdf", TEXT)), **settings) == Quarantine("attachments: *invoice*.pdf")
    assert isinstance(await said(letter(("a.pdf", TEXT)), **settings), Message)


@pytest.mark.parametrize("action", ["pass", "note", "strip", "quarantine", "reject"])
@pytest.mark.parametrize(
    ("key", "octets"), [("unreadable", b"7z\xbc\xaf\x27\x1c"), ("bomb", zipped(a_zip=zipped(b_zip=zipped())))]
)
async def test_what_cannot_be_looked_into(action: str, key: str, octets: bytes) -> None:
    about = letter(("a.bin", octets))
    verdict = await said(about, depth=2, **{key: action})
    kinds = {"reject": Reject, "quarantine": Quarantine}
    assert type(verdict) is kinds.get(action, Message)
    if isinstance(verdict, Message):
        assert key in verdict.fact("attachments.kinds")
        assert verdict.fact("attachments.files") == [] if action == "pass" else verdict.fact("attachments.files")
        assert (b"was removed here" in b"".join(verdict.chunks())) == (action == "strip")


async def test_facts_tell_of_all_and_name_what_is_to_be_noted() -> None:
    after = await passed(letter(("a.pdf", b"%PDF-1"), ("b.zip", zipped(c_docm=TEXT)), ("d.txt", TEXT)))
    assert after.fact("attachments.kinds") == ["archive", "macros", "pdf"]
    assert after.fact("attachments.macros") is True
    assert after.fact("attachments.files") == ["c.docm in b.zip: macros"]
    assert (await passed(letter(("d.txt", TEXT)))).fact("attachments.macros") is False


@pytest.mark.parametrize("size", [100, 2 * LARGE])
async def test_what_is_stripped_gives_way_to_a_text(size: int) -> None:
    about = letter(("good.bin", b"x" * size), ("bad\u202e.exe", EXE), ("ugly.zip", zipped(b_exe=TEXT)))
    after = await passed(about, reject=[], strip=["executable"], text="{name}: {kinds}, removed")
    octets = b"".join(after.chunks())
    parts = structure([octets]).parts
    assert [part.media for part in parts] == [b"text/plain", b"application/octet-stream", b"text/plain", b"text/plain"]
    assert b"bad?.exe: executable, removed" in octets
    assert b"ugly.zip: executable, removed" in octets
    first = parts[1]
    assert octets[first.start : first.end] in b"".join(about.chunks())
    assert after.fact("content.changed")


async def test_more_parts_than_can_be_told_apart_are_unreadable() -> None:
    deep = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(60)).encode()
    wide = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 2100
    hidden = b"--b\r\nContent-Type: application/octet-stream\r\n\r\nx\r\n"
    for octets in (deep + hidden, wide + hidden):
        assert isinstance(await said(message(content=octets), unreadable="reject"), Reject)
        assert isinstance(await said(message(content=octets), unreadable="strip"), Quarantine)
        assert isinstance(await said(message(content=octets)), Message)


@pytest.mark.parametrize(
    "fields",
    ["Content-Type: message/partial; id=x; number=1", "Content-Type: a/b\r\nContent-Transfer-Encoding: x-uuencode"],
)
async def test_what_only_readers_can_put_together_is_unreadable(fields: str) -> None:
    about = message(content=f"{fields}\r\n\r\nbegin 644 a.exe\r\n".encode())
    assert isinstance(await said(about, unreadable="reject"), Reject)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"reject": ("executables",)}, "reject has 'executables', which is no kind"),
        ({"note": (".exe",)}, "note has '.exe'"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"reject": ("*.exe", "macros")}, None),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, Any], wrong: str | None) -> None:
    found = list(Attachments.check(**settings))
    assert len(found) == (wrong is not None)
    assert wrong is None or wrong in found[0]
