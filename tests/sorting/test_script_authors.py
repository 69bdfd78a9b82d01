"""In whose name scripts write: a script lends its account nobody else's, nor the signature of that one's domain."""

from email import message_from_bytes
from email.policy import default

import pytest
from office import ANN, BEN, LETTER, Office, letter

from engine import Delivered, Message
from engine.message import EDITED

BOSS = "boss@example.org"


async def written(office: Office, script: str) -> Message:
    """What the script sends because of a message."""
    await office.script(script)
    verdict = await office.deliver()
    assert isinstance(verdict, Delivered)
    (sent,) = verdict.sends
    return sent


@pytest.mark.parametrize(
    ("wanted", "author"),
    [
        (BOSS, ANN),
        (BEN, ANN),
        ("ceo@bank.example", ANN),
        (f"The Boss <{BOSS}>", ANN),
        (f"{ANN}, {BOSS}", ANN),
        (ANN, ANN),
        (f"Ann <{ANN}>", f"Ann <{ANN}>"),
        ("office@example.org", "office@example.org"),
    ],
)
@pytest.mark.parametrize(
    "script",
    [
        'require ["vacation", "variables"]; set "a" "%s"; vacation :from "${a}" "I am away";',
        'require ["enotify", "variables"]; set "a" "%s"; notify :from "${a}" "mailto:far@example.net";',
    ],
    ids=["vacation", "notify"],
)
async def test_an_answer_is_from_whom_its_account_may_write_as(
    office: Office, script: str, wanted: str, author: str
) -> None:
    sent = await written(office, script % wanted)
    fields = message_from_bytes(b"".join(sent.chunks()), policy=default)
    assert fields.get_all("From") == [author]


async def test_a_mime_answer_brings_no_fields_but_those_of_mime(office: Office) -> None:
    sent = await written(
        office,
        'require "vacation"; vacation :mime text:\n'
        f"From: {BOSS}\nSender: {BOSS}\nBcc: far@example.net\nDKIM-Signature: x\nX-Long: a\n Content-Type: text/x\n"
        "Content-Type: text/html;\n charset=utf-8\ncontent-language: en\nMIME-Version: 2.0\n\n<p>From: me\n.\n;",
    )
    fields = message_from_bytes(b"".join(sent.chunks()), policy=default)
    assert fields.get_all("From") == [ANN]
    assert {name.lower() for name in fields} == {
        "date", "message-id", "from", "to", "subject", "auto-submitted", "precedence", "in-reply-to", "references",
        "mime-version", "content-type", "content-language",
    }  # fmt: skip
    assert fields.get_all("MIME-Version") == ["1.0"]
    assert fields.get_content_type() == "text/html"
    assert fields.get_content() == "<p>From: me\r\n"


@pytest.mark.parametrize("text", ["\n\nplain\n\nFrom: x", "\nplain\n\nFrom: x"])
async def test_a_mime_answer_without_a_header(office: Office, text: str) -> None:
    sent = await written(office, f'require "vacation"; vacation :mime text:{text}\n.\n;')
    assert message_from_bytes(b"".join(sent.chunks()), policy=default).get_all("From") == [ANN]


async def test_what_a_script_has_changed_is_not_vouched_for_by_its_author(office: Office) -> None:
    """A letter of a colleague's, with another subject, would leave under the signature of the colleague's domain."""
    edit = 'deleteheader "Subject"; addheader "Subject" "Pay at once";'
    plain = await written(office, 'redirect "far@example.net";')
    changed = await written(office, f'require "editheader"; {edit} redirect "far@example.net";')
    assert not plain.fact(EDITED)
    assert changed.fact(EDITED)
    assert b"Subject: Pay at once" in b"".join(changed.chunks())


async def test_a_letter_is_kept_as_it_came_for_others(office: Office) -> None:
    """One that two get, of whom one changes it."""
    await office.script('require "editheader"; addheader "From" "boss@example.org"; keep;')
    await office.deliver(letter(ANN, BEN))
    assert office.read(address=BEN).endswith(LETTER)
