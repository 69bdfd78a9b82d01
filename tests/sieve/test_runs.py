"""What is done beyond the table of cases: headers that change, scripts that include others, ids that are remembered."""

from collections.abc import Iterator

import pytest

from engine.message import Envelope, Message, MessageId, Recipient
from engine.message import Octets as Content
from engine.sieve import (
    Alone,
    FileInto,
    Keep,
    Notify,
    Octets,
    Redirect,
    Reject,
    Remember,
    compile_script,
    execute,
    of_message,
)
from tests.sieve.cases import letter
from tests.sieve.trying import LETTER, outcome, short

SMALL = letter("Received: x", "From: a@b.test", "Subject: one", "Subject: two", "Subject: three", body="body\r\n")

PARTS = (
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\npreface\r\n"
    b"--x\r\nContent-Type: text/plain; charset=gb2312\r\n\r\n\xc4\xe3\xba\xc3\r\n"
    b"--x\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nFrom: i@b.test\r\n\r\ninner\r\n"
    b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVs\r\nbG8=\r\n--x--\r\nepilogue\r\n"
)


def test_the_parts_of_a_message() -> None:
    """RFC 5173 5.2: of a multipart what stands around its parts, of a message in the message its header."""
    expected = [
        ("multipart/mixed", "preface\r\nepilogue\r\n"),
        ("text/plain", "\u4f60\u597d"),
        ("message/rfc822", "Subject: Gr\u00fc\u00dfe\r\nFrom: i@b.test\r\n"),
        ("text/plain", "inner"),
        ("text/plain", "Hello"),
    ]
    found = Octets(PARTS)
    assert [(part.type, part.text) for part in found.parts(1000)] == expected
    assert "".join(part.text for part in found.parts(20)) == "".join(text for _, text in expected)[:20]


def header(script: str, octets: bytes = SMALL) -> list[str] | None:
    """The header fields that the implicit keep leaves, without those of the letter that stay the first and second."""
    found = outcome(f'require ["editheader", "variables", "index", "regex", "relational"]; {script}', octets)
    assert not found.error
    (kept,) = found.actions
    assert isinstance(kept, Keep)
    return None if kept.header is None else kept.header.decode().split("\r\n")[:-1]


EDITS = [
    ("keep;", None),
    ('addheader "X-New" "  yes\t";',
     ["X-New: yes", "Received: x", "From: a@b.test", "Subject: one", "Subject: two", "Subject: three"]),
    ('addheader :last "X-New" "yes";',
     ["Received: x", "From: a@b.test", "Subject: one", "Subject: two", "Subject: three", "X-New: yes"]),
    ('deleteheader "subject";', ["Received: x", "From: a@b.test"]),
    ('deleteheader :index 2 "subject";', ["Received: x", "From: a@b.test", "Subject: one", "Subject: three"]),
    ('deleteheader :index 1 :last "subject";', ["Received: x", "From: a@b.test", "Subject: one", "Subject: two"]),
    ('deleteheader :index 4 "subject";', None),
    ('deleteheader :contains "subject" "T";', ["Received: x", "From: a@b.test", "Subject: one"]),
    ('deleteheader :index 1 :contains "subject" "T";', None),
    ('deleteheader :matches "subject" ["o?e", "two"];', ["Received: x", "From: a@b.test", "Subject: three"]),
    ('deleteheader "received"; deleteheader "x-none";', None),
    ('addheader "Subject" "zero"; deleteheader :is "subject" ["one", "two", "three"];',
     ["Subject: zero", "Received: x", "From: a@b.test"]),
    ('addheader "X" "a\r\nBcc: evil@example.org";',
     ["X: a Bcc: evil@example.org", "Received: x", "From: a@b.test", "Subject: one", "Subject: two", "Subject: three"]),
    ('deleteheader "subject"; addheader "X" "grüße";',
     ["X: =?utf-8?b?Z3LDvMOfZQ==?=", "Received: x", "From: a@b.test"]),
]  # fmt: skip


@pytest.mark.parametrize(("script", "wanted"), EDITS)
def test_editheader(script: str, wanted: list[str] | None) -> None:
    assert header(script) == wanted


def test_a_long_field_is_folded() -> None:
    found = header('addheader "X-Long" "' + "word " * 100 + '";')
    assert found is not None
    folded = found[: found.index("Received: x")]
    assert len(folded) > 5
    assert max(map(len, folded)) <= 78
    assert "".join(folded) == "X-Long: " + " ".join(["word"] * 100)


def test_an_action_has_the_header_of_its_time_and_tests_see_it() -> None:
    found = outcome(
        """require ["editheader", "fileinto", "copy"];
        fileinto :copy "before"; addheader "X-New" "1"; redirect :copy "a@b.test";
        if exists "x-new" { deleteheader "x-new"; } if not exists "x-new" { fileinto "gone"; }""",
        SMALL,
    )
    first, second, third = found.actions
    assert isinstance(first, FileInto)
    assert isinstance(second, Redirect)
    assert isinstance(third, FileInto)
    assert first.header is None
    assert second.header is not None
    assert second.header.startswith(b"X-New: 1\r\nReceived: x\r\n")
    assert third.header == SMALL.partition(b"\r\n\r\n")[0] + b"\r\n"


def including(main: str, **scripts: str) -> list[str]:
    """What a script wants that includes others: personal ones, and with an underscore before their name global ones."""
    known = {
        ("global" if name.startswith("_") else "personal", name.lstrip("_")): compile_script(text.encode())
        for name, text in scripts.items()
    }
    return short(outcome(main, scripts=known))


HEAD = 'require ["include", "fileinto", "variables", "copy"]; '


def test_include() -> None:
    assert including(HEAD + 'include "a"; fileinto :copy "main";', a=HEAD + 'fileinto "a";') == [
        "fileinto a", "fileinto main",
    ]  # fmt: skip
    assert including(HEAD + 'include :global "a";', a="discard;", _a="keep;") == ["keep"]
    assert including(HEAD + 'include "a"; discard;', a=HEAD + "return; keep;") == ["discard"]
    assert including(HEAD + 'include "a"; discard;', a="stop;") == ["keep"]
    assert including(HEAD + "return; discard;") == ["keep"]
    assert including(HEAD + 'include "none"; discard;') == ["error"]
    assert including(HEAD + 'include :optional "none"; discard;') == ["discard"]
    again = HEAD + 'include :once "a"; include :once "a"; include "a";'
    redirects = HEAD + 'if string "${global.x}" "xx" { discard; } set "global.x" "${global.x}x";'
    assert including(again, a=redirects) == ["keep"]
    assert including(again + 'include "a";', a=redirects) == ["discard"]


def test_variables_of_included_scripts() -> None:
    own = HEAD + 'if not string "${x}" "" { discard; } set "x" "theirs";'
    assert including(HEAD + 'set "x" "ours"; include "a"; fileinto "${x}";', a=own) == ["fileinto ours"]
    shared = HEAD + 'global ["x"]; set "x" "theirs"; set "global.y" "too";'
    assert including(HEAD + 'global "x"; global "y"; set "x" "ours"; include "a"; fileinto "${x}${y}";', a=shared) == [
        "fileinto theirstoo"
    ]


def test_a_script_that_includes_itself() -> None:
    assert including(HEAD + 'include "a";', a=HEAD + 'include "a";') == ["error"]


def test_duplicate() -> None:
    script = 'require "duplicate"; if duplicate :seconds 60 { discard; }'
    first = outcome(script)
    (remember,) = first.remember
    assert remember == Remember(remember.key, 60, again=False)
    assert short(first) == ["keep"]
    again = outcome(script, remembered=frozenset({remember.key}))
    assert (short(again), again.remember) == (["discard"], ())
    last = outcome(script.replace(":seconds", ":last :seconds"), remembered=frozenset({remember.key}))
    assert (short(last), last.remember) == (["discard"], (Remember(remember.key, 60, again=True),))


def test_ids_of_other_kinds_are_others() -> None:
    tests = ["duplicate", 'duplicate :handle "x"', 'duplicate :header "x-numbers"', 'duplicate :uniqueid "12"',
             'duplicate :header "x-priority"', 'duplicate :header "X-PRIORITY"', 'duplicate :header "x-none"',
             "duplicate"]  # fmt: skip
    found = outcome('require "duplicate"; ' + "".join(f"if {test} {{}}" for test in tests))
    assert len(found.remember) == 5
    assert len({remember.key for remember in found.remember}) == 5


def test_after_an_error_nothing_is_remembered() -> None:
    found = outcome('require ["duplicate", "ihave"]; if duplicate {} error "no";')
    assert found.remember == ()
    assert found.error == "no"


def test_redirect_to_what_variables_have_made() -> None:
    script = 'require "variables"; if header :matches "subject" "*" {} redirect "%s";'
    assert short(outcome(script % "${none}a@b.test")) == ["redirect a@b.test"]
    assert short(outcome(script % "${1}")) == ["error"]


def test_reject_and_ereject() -> None:
    (refused,) = outcome('require "ereject"; ereject "no";').actions
    assert refused == Reject("no", in_protocol=True)


def test_fileinto_knows_places_apart() -> None:
    script = """require ["fileinto", "mailbox", "special-use", "mailboxid"];
        fileinto :create "a"; fileinto :specialuse "\\\\Junk" "a"; fileinto :mailboxid "F1" "a"; fileinto "a";"""
    assert outcome(script).actions == (
        FileInto("a"), FileInto("a", special_use="\\Junk"), FileInto("a", mailbox_id="F1"),
    )  # fmt: skip


def test_a_notice() -> None:
    (notice, _) = outcome(
        """require "enotify"; notify :importance "1" :from "me@example.org"
        "mailto:ann@example.org,bob@example.org?subject=Mail%20came&body=Look";"""
    ).actions
    assert isinstance(notice, Notify)
    assert notice.recipients == ("ann@example.org", "bob@example.org")
    head, _, body = notice.content.partition(b"\r\n\r\n")
    assert body == b"Look\r\n"
    lines = head.decode().split("\r\n")
    assert "Subject: Mail came" in lines
    assert "From: me@example.org" in lines
    assert "X-Priority: 1 (High)" in lines
    assert any(line.startswith("Auto-Submitted: auto-notified") for line in lines)


def test_no_notice_of_a_notice() -> None:
    octets = letter("From: a@b.test", "Auto-Submitted: auto-notified; owner-email=x@y.test")
    assert short(outcome('require "enotify"; notify "mailto:ann@example.org";', octets)) == ["keep"]


def test_no_more_of_a_message_is_read_than_is_asked_for() -> None:
    read = []

    class Pieces(Content):
        def chunks(self) -> Iterator[bytes]:
            for number, piece in enumerate((b"Subject: hi\r\n\r", b"\nbody", b" and more")):
                read.append(number)
                yield piece

    message = Message(MessageId(bytes(16)), Envelope("a@b.test", (Recipient("c@d.test"),)), Pieces(SMALL))
    found = of_message(message)
    assert [found.value(field) for field in found.fields()] == ["hi"]
    assert read == [0, 1]
    edited = found.with_header(b"X-A: 1\r\n")
    assert (found.body(99), edited.body(99)) == ("body and more", "body and more")
    assert edited.size == found.size + len(b"X-A: 1\r\n") - len(b"Subject: hi\r\n")
    assert read == [0, 1, 2]


def test_a_message_as_a_stage_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    envelope = Envelope("a@b.test", (Recipient("c@d.test"),), prepended=b"Received: by us\r\n")
    message = Message(MessageId(bytes(16)), envelope, Content(SMALL))
    whole = of_message(message)
    assert (whole.size, whole.fields()[0], whole.body(9)) == (message.size, b"Received: by us\r\n", "body\r\n")
    monkeypatch.setattr("engine.sieve.letter.PARSED_LIMIT", 30)
    beginning = of_message(message)
    assert (beginning.size, len(b"".join(beginning.fields()))) == (message.size, 30)


@pytest.mark.parametrize(
    "octets",
    [b"", b"\r\n", b"no header at all", b"\r\nbody", b"From: x", LETTER[:700], b"\xff\xfe: \x00\r\n\r\n\xff",
     b"Subject: =?utf-8?b?####?=\r\nDate: x\r\nFrom: (((((\r\n\r\n"],
    ids=range(8),
)  # fmt: skip
def test_letters_that_are_none(octets: bytes) -> None:
    script = """require ["body", "date", "vacation", "regex"];
        if anyof (body :text :contains "zebra", body :raw :contains "zebra", body :content "" :matches "z",
                  header :regex "subject" "q$", address "from" "x", date "date" "year" "1999") { discard; }
        vacation "gone";"""
    assert execute(compile_script(script.encode()), Octets(octets), Alone()).actions == (Keep(),)
