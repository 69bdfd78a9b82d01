"""The sending side of SMTP: tables of replies and dialogues, fed whole and octet by octet."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.smtp_client import (
    Awaits,
    Closing,
    ContentWanted,
    Event,
    Finished,
    Quit,
    Ready,
    Refused,
    SmtpClient,
    TlsReady,
    TlsRefused,
)
from engine.protocols.smtp_content import DotStuffing
from engine.protocols.smtp_heard import REPLY_TOTAL, PeerError, Replies, Reply
from engine.protocols.smtp_limits import Limits
from engine.protocols.smtp_transaction import To, Transaction

HELLO = b"220 hi\r\n"
PIPELINING = b"250-hi\r\n250-PIPELINING\r\n250 SIZE 1000\r\n"
TO_ONE = Transaction("a@example.org", (To("b@example.net"),), 5)
TO_TWO = Transaction("a@example.org", (To("b@example.net"), To("c@example.net")), 5)


def ready(ehlo: bytes = PIPELINING, *, lmtp: bool = False) -> SmtpClient:
    client = SmtpClient("mx.example.org", lmtp=lmtp)
    client.receive(HELLO)
    assert client.outgoing() == (b"LHLO" if lmtp else b"EHLO") + b" mx.example.org\r\n"
    client.receive(ehlo)
    assert isinstance(client.next_event(), Ready)
    return client


def events(client: SmtpClient) -> list[Event]:
    found = []
    while event := client.next_event():
        found.append(event)
    return found


def codes(client: SmtpClient) -> list[int]:
    """The codes that each recipient of the one finished transaction got."""
    (finished,) = events(client)
    assert isinstance(finished, Finished)
    return [reply.code for reply in finished.replies]


REPLIES = [
    (b"250 Ok\r\n", Reply(250, "Ok")),
    (b"250\r\n", Reply(250)),
    (b"250 \r\n", Reply(250)),
    (b"250 Ok\n", Reply(250, "Ok")),
    (b"250-a\r\n250-b\r\n250 c\r\n", Reply(250, "a\nb\nc")),
    (b"250-a\r\n250\r\n", Reply(250, "a\n")),
    (b"550 5.1.1 No such user\r\n", Reply(550, "No such user", "5.1.1")),
    (b"550-5.1.1 No\r\n550 5.1.1 user\r\n", Reply(550, "No\nuser", "5.1.1")),
    (b"550 5.1.1\r\n", Reply(550, "", "5.1.1")),
    (b"550 5.1.1234 x\r\n", Reply(550, "5.1.1234 x")),
    (b"550 caf\xc3\xa9 \xff\r\n", Reply(550, "café \ufffd")),
    (b"550 a\x1b[31mb\x00\r\n", Reply(550, "a [31mb")),
]


@pytest.mark.parametrize(("octets", "reply"), REPLIES)
def test_a_reply_whole_and_octet_by_octet(octets: bytes, reply: Reply) -> None:
    assert list(Replies().feed(octets)) == [reply]
    parser = Replies()
    assert [got for octet in octets for got in parser.feed(bytes([octet]))] == [reply]
    assert list(Replies().feed(octets * 3)) == [reply] * 3


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n",
        b"25\r\n",
        b"2500 x\r\n",
        b"150 x\r\n",
        b"650 x\r\n",
        b"250_x\r\n",
        b"abc def\r\n",
        b"SSH-2.0-x\r\n",
        b"250-a\r\n251 b\r\n",
        b"250 " + b"x" * 5000,
        b"250 " + b"x" * 5000 + b"\r\n",
        b"250-" + b"x" * 5000 + b"\r\n",
        b"250-x\r\n" * 20_000,
    ],
)
def test_what_is_no_reply(octets: bytes) -> None:
    with pytest.raises(PeerError):
        list(Replies().feed(octets))


def test_an_endless_reply_costs_bounded_memory() -> None:
    parser = Replies()
    for _ in range(REPLY_TOTAL // 700):
        list(parser.feed(b"250-x\r\n" * 100))
    with pytest.raises(PeerError):
        list(parser.feed(b"250-x\r\n" * 100 * 20))


@given(st.binary(max_size=200))
def test_no_octets_bring_anything_but_replies_or_a_peer_error(octets: bytes) -> None:
    try:
        replies = list(Replies().feed(octets))
    except PeerError:
        return
    assert all("\r" not in str(reply) and "\n" not in str(reply) for reply in replies)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(550, "", "5.1.1"), "5.1.1"),
        (Reply(550), "5.0.0"),
        (Reply(450, "", "5.1.1"), "4.0.0"),
        (Reply(250, "", "2.1.5"), "2.1.5"),
    ],
)
def test_status(reply: Reply, status: str) -> None:
    assert reply.status == status


@pytest.mark.parametrize(
    ("code", "positive", "permanent"),
    [(200, True, False), (299, True, False), (300, False, False), (499, False, False), (500, False, True)],
)
def test_what_a_code_says(code: int, positive: bool, permanent: bool) -> None:
    assert (Reply(code).positive, Reply(code).permanent) == (positive, permanent)


def test_a_reply_as_it_is_reported() -> None:
    assert str(Reply(550, "No such\nuser", "5.1.1")) == "550 5.1.1 No such user"
    assert str(Reply(250)) == "250"


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\n..b", b"a\r\n...b\r\n.\r\n"),
        (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\n.\nMAIL FROM:<>\r\n", b"a\r\n..\r\nMAIL FROM:<>\r\n.\r\n"),
        (b"a\n.\r\nMAIL FROM:<>\r\n", b"a\r\n..\r\nMAIL FROM:<>\r\n.\r\n"),
        (b"a\r.\r\nMAIL FROM:<>\r\n", b"a\r\n..\r\nMAIL FROM:<>\r\n.\r\n"),
        (b"a\r\r\n.\r\n", b"a\r\n\r\n..\r\n.\r\n"),
        (b"a\r", b"a\r\n.\r\n"),
        (b"\r\n\r\n", b"\r\n\r\n.\r\n"),
    ],
)
def test_dot_stuffing(content: bytes, wire: bytes) -> None:
    whole = DotStuffing()
    assert whole.feed(content) + whole.end() == wire
    single = DotStuffing()
    assert b"".join(single.feed(bytes([octet])) for octet in content) + single.end() == wire


@given(st.lists(st.text(alphabet="\r\n.a", max_size=6).map(str.encode), max_size=6))
def test_nothing_inside_the_content_can_end_it(pieces: list[bytes]) -> None:
    stuffing = DotStuffing()
    wire = b"".join(stuffing.feed(piece) for piece in pieces) + stuffing.end()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", wire)
    assert (b"\r\n" + wire).index(b"\r\n.\r\n") == len(wire) - 3
    unstuffed = (b"\r\n" + wire)[:-3].replace(b"\r\n.", b"\r\n")[2:]
    content = re.sub(rb"\r\n|\r|\n", b"\r\n", b"".join(pieces))
    assert unstuffed == content + (b"" if not content or content.endswith(b"\r\n") else b"\r\n")


@pytest.mark.parametrize("greeting", [b"554 5.7.1 no\r\n", b"421 busy\r\n", b"354 what\r\n"])
def test_a_greeting_that_is_no_welcome(greeting: bytes) -> None:
    client = SmtpClient("mx.example.org")
    client.receive(greeting)
    assert isinstance(client.next_event(), Refused)
    assert client.outgoing() == b""


def test_helo_follows_a_refused_ehlo() -> None:
    client = SmtpClient("mx.example.org")
    client.receive(HELLO)
    client.outgoing()
    client.receive(b"500 what\r\n")
    assert client.outgoing() == b"HELO mx.example.org\r\n"
    client.receive(b"250 hi\r\n")
    assert events(client) == [Ready({})]
    assert client.replies == 3
    client.begin(TO_ONE)
    assert client.outgoing() == b"MAIL FROM:<a@example.org>\r\n"
    client.receive(b"250 ok\r\n")
    client.receive(b"250 ok\r\n")
    assert client.outgoing() == b"RCPT TO:<b@example.net>\r\nDATA\r\n"


@pytest.mark.parametrize("answer", [b"450 later\r\n", b"421 later\r\n"])
def test_a_temporary_refusal_of_ehlo_is_one(answer: bytes) -> None:
    client = SmtpClient("mx.example.org")
    client.receive(HELLO + answer)
    assert isinstance(client.next_event(), Refused)


def test_extensions_are_read_in_any_case() -> None:
    client = ready(b"250-hi\r\n250-pipelining\r\n250-AUTH PLAIN LOGIN\r\n250 Size 42\r\n")
    assert client.extensions == {"PIPELINING": "", "AUTH": "PLAIN LOGIN", "SIZE": "42"}


def test_a_pipelined_transaction_leaves_in_one_send() -> None:
    client = ready()
    client.begin(TO_TWO)
    assert client.outgoing() == (
        b"MAIL FROM:<a@example.org> SIZE=5\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\nDATA\r\n"
    )
    client.receive(b"250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n")
    assert events(client) == [ContentWanted(TO_TWO)]
    assert client.content(b"hi.\r\n") + client.end_content() == b"hi.\r\n.\r\n"
    assert client.content_sent(TO_TWO)
    client.receive(b"250 queued\r\n")
    assert codes(client) == [250, 550]
    assert not client.content_sent(TO_TWO)


def test_without_pipelining_each_command_waits() -> None:
    client = ready(b"250 hi\r\n")
    client.begin(TO_ONE)
    for command, reply in (
        (b"MAIL FROM:<a@example.org>\r\n", b"250 ok\r\n"),
        (b"RCPT TO:<b@example.net>\r\n", b"250 ok\r\n"),
        (b"DATA\r\n", b"354 go\r\n"),
    ):
        assert client.outgoing() == command
        client.receive(reply)
    assert events(client) == [ContentWanted(TO_ONE)]


def test_without_pipelining_a_refused_sender_ends_it_at_once() -> None:
    client = ready(b"250 hi\r\n")
    client.begin(TO_TWO)
    client.outgoing()
    client.receive(b"550 no\r\n")
    assert codes(client) == [550, 550]
    assert client.outgoing() == b""


def test_without_pipelining_rset_clears_what_no_recipient_took() -> None:
    client = ready(b"250 hi\r\n")
    client.begin(TO_ONE)
    client.receive(b"250 ok\r\n550 no\r\n")
    assert codes(client) == [550]
    client.outgoing()
    client.begin(TO_ONE)
    assert client.outgoing() == b"RSET\r\n"
    client.receive(b"250 ok\r\n")
    assert client.outgoing() == b"MAIL FROM:<a@example.org>\r\n"


def test_a_lone_dot_ends_data_that_nobody_was_to_get() -> None:
    client = ready()
    client.begin(TO_TWO)
    client.outgoing()
    client.receive(b"250 ok\r\n550 no\r\n451 later\r\n354 go\r\n")
    assert client.outgoing() == b".\r\n"
    assert client.awaits is Awaits.EMPTY
    client.receive(b"250 nothing queued\r\n")
    assert codes(client) == [550, 451]


def test_a_refused_sender_decides_for_all_recipients() -> None:
    client = ready()
    client.begin(TO_TWO)
    client.receive(b"550 no\r\n503 no\r\n503 no\r\n503 no\r\n")
    assert codes(client) == [550, 550]


def test_refused_data_decides_for_those_that_were_taken() -> None:
    client = ready()
    client.begin(TO_TWO)
    client.receive(b"250 ok\r\n250 ok\r\n450 later\r\n554 no\r\n")
    assert codes(client) == [554, 450]
    client.outgoing()
    client.begin(TO_ONE)
    assert client.outgoing().startswith(b"RSET\r\nMAIL")
    client.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    client.content(b"hello")
    client.end_content()
    client.begin(TO_ONE)
    assert client.outgoing().startswith(b"MAIL")  # one RSET was enough


@pytest.mark.parametrize("code", [400, 499, 500])
def test_data_refused_by_any_code(code: int) -> None:
    client = ready()
    client.begin(TO_ONE)
    client.receive(b"250 ok\r\n250 ok\r\n%d no\r\n" % code)
    assert codes(client) == [code]


def test_a_sender_put_off_by_the_least_of_codes() -> None:
    client = ready()
    client.begin(TO_ONE)
    client.receive(b"400 no\r\n503 no\r\n503 no\r\n")
    assert codes(client) == [400]


@pytest.mark.parametrize("code", [300, 399])
def test_data_taken_by_any_code(code: int) -> None:
    client = ready()
    client.begin(TO_ONE)
    client.receive(b"250 ok\r\n250 ok\r\n%d go\r\n" % code)
    assert events(client) == [ContentWanted(TO_ONE)]


def test_the_next_transaction_rides_behind_the_content() -> None:
    client = ready()
    client.begin(TO_ONE)
    client.outgoing()
    assert not client.can_follow
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    client.content(b"hello")
    assert not client.can_follow
    client.end_content()
    assert client.can_follow
    client.begin(TO_TWO)
    assert not client.can_follow
    assert client.outgoing().startswith(b"MAIL")
    client.receive(b"250 queued\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert events(client)[1:] == [Finished(TO_ONE, (Reply(250, "queued"),)), ContentWanted(TO_TWO)]


CHUNKING = b"250-hi\r\n250-PIPELINING\r\n250 CHUNKING\r\n"


def test_bdat_inline_leaves_with_its_commands_and_unchanged() -> None:
    client = ready(CHUNKING)
    client.begin(TO_ONE, inline=True)
    assert events(client) == [ContentWanted(TO_ONE)]
    wire = client.outgoing() + client.content(b".\n\r.") + client.content(b"\n") + client.end_content()
    assert wire == b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nBDAT 5 LAST\r\n.\n\r.\n"
    client.receive(b"250 ok\r\n250 ok\r\n250 queued\r\n")
    assert codes(client) == [250]
    assert not client.can_follow


def test_bdat_waits_for_the_recipients_where_the_content_is_large() -> None:
    client = ready(CHUNKING)
    client.begin(TO_ONE)
    assert b"BDAT" not in client.outgoing()
    client.receive(b"250 ok\r\n250 ok\r\n")
    assert events(client) == [ContentWanted(TO_ONE)]
    assert client.outgoing() == b"BDAT 5 LAST\r\n"


@pytest.mark.parametrize("inline", [True, False])
def test_rset_follows_a_failed_bdat(inline: bool) -> None:
    client = ready(CHUNKING)
    client.begin(TO_ONE, inline=inline)
    if not inline:
        client.receive(b"250 ok\r\n250 ok\r\n")
    client.outgoing()
    client.content(b"hello")
    client.end_content()
    client.receive(b"250 ok\r\n550 no\r\n503 no\r\n" if inline else b"552 full\r\n")
    assert [type(event) for event in events(client)] == [ContentWanted, Finished]
    client.begin(TO_ONE)
    assert client.outgoing().startswith(b"RSET\r\nMAIL")


def test_content_must_have_the_size_that_was_announced() -> None:
    client = ready(CHUNKING)
    client.begin(TO_ONE, inline=True)
    client.content(b"1234")
    with pytest.raises(ValueError, match="shorter"):
        client.end_content()
    with pytest.raises(ValueError, match="longer"):
        client.content(b"56")


OUT_OF_STEP = [
    b"354 go\r\n",  # to MAIL
    b"300 go\r\n",
    b"399 go\r\n",
    b"250 ok\r\n354 go\r\n",  # to RCPT
    b"250 ok\r\n250 ok\r\n250 ok\r\n",  # to DATA
    b"250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n",  # before the content has ended
    b"250 ok\r\n250 ok\r\n554 no\r\n250 more\r\n",
]


@pytest.mark.parametrize("replies", OUT_OF_STEP)
def test_replies_out_of_step(replies: bytes) -> None:
    client = ready()
    client.begin(TO_ONE)
    with pytest.raises(PeerError):
        client.receive(replies)


@pytest.mark.parametrize("before", [b"", b"250 ok\r\n", b"250 ok\r\n250 ok\r\n"])
def test_421_closes_wherever_it_comes(before: bytes) -> None:
    client = ready()
    client.begin(TO_ONE)
    client.receive(before + b"421 bye\r\n")
    assert events(client) == [Closing(Reply(421, "bye"))]


def test_421_out_of_the_blue() -> None:
    client = ready()
    client.receive(b"421 idle too long\r\n")
    assert isinstance(client.next_event(), Closing)


def test_a_refused_rset_leaves_nothing_to_go_by() -> None:
    client = ready()
    client.begin(TO_ONE)
    client.receive(b"250 ok\r\n250 ok\r\n554 no\r\n")
    client.begin(TO_ONE)
    with pytest.raises(PeerError, match="RSET"):
        client.receive(b"500 what\r\n")


def test_mistakes_of_ours_are_said_to_us() -> None:
    client = ready()
    with pytest.raises(ValueError, match="recipient"):
        client.begin(Transaction("a@example.org", (), 5))
    with pytest.raises(ValueError, match="no content"):
        client.content(b"hello")
    with pytest.raises(ValueError, match="no content"):
        client.end_content()
    assert client.outgoing() == b""


def test_what_has_been_decided_and_sent_is_known_at_any_moment() -> None:
    client = ready()
    client.begin(TO_TWO)
    assert client.decided(TO_TWO) == (None, None)
    client.receive(b"250 ok\r\n250 ok\r\n550 no\r\n")
    assert client.decided(TO_TWO) == (None, Reply(550, "no"))
    client.receive(b"354 go\r\n")
    client.content(b"hello")
    assert not client.content_sent(TO_TWO)
    client.end_content()
    assert client.content_sent(TO_TWO)
    assert not client.content_sent(TO_ONE)
    client.begin(TO_ONE)
    assert not client.content_sent(TO_ONE)
    assert client.decided(TO_ONE) == (None,)


# LMTP: a reply to the content for each recipient that was taken (RFC 2033 4.2)

TO_THREE = Transaction("a@example.org", (To("b@example.net"), To("c@example.net"), To("d@example.net")), 5)


def sent_by_lmtp() -> SmtpClient:
    """The content has gone out for the first and the third recipient."""
    client = ready(b"250-hi\r\n250-PIPELINING\r\n250 CHUNKING\r\n", lmtp=True)
    client.begin(TO_THREE, inline=True)
    assert client.outgoing().endswith(b"RCPT TO:<d@example.net>\r\nDATA\r\n")
    client.receive(b"250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n")
    assert events(client) == [ContentWanted(TO_THREE)]
    assert client.content(b"hello") + client.end_content() == b"hello\r\n.\r\n"
    return client


@pytest.mark.parametrize(
    ("replies", "found"), [(b"250 a\r\n452 b\r\n", [250, 550, 452]), (b"452 a\r\n250 b\r\n", [452, 550, 250])]
)
def test_lmtp_answers_for_each_recipient(replies: bytes, found: list[int]) -> None:
    client = sent_by_lmtp()
    first, second = replies.splitlines(keepends=True)
    client.receive(first)
    assert events(client) == []
    decided = client.decided(TO_THREE)
    assert [reply and reply.code for reply in decided] == [found[0], 550, None]
    client.receive(second)
    assert codes(client) == found
    client.begin(TO_ONE)
    assert client.outgoing().startswith(b"MAIL")


def test_lmtp_may_close_between_two_answers() -> None:
    client = sent_by_lmtp()
    client.receive(b"250 a\r\n421 bye\r\n")
    finished, closing = events(client)
    assert isinstance(finished, Finished)
    assert [reply.code for reply in finished.replies] == [250, 550, 421]
    assert closing == Closing(Reply(421, "bye"))


def test_lmtp_may_close_before_the_first_answer() -> None:
    client = sent_by_lmtp()
    client.receive(b"421 bye\r\n")
    assert events(client) == [Closing(Reply(421, "bye"))]


def test_lmtp_has_no_helo() -> None:
    client = SmtpClient("mx.example.org", lmtp=True)
    client.receive(HELLO + b"500 what\r\n")
    assert events(client) == [Refused(Reply(500, "what"))]
    assert client.outgoing() == b"LHLO mx.example.org\r\n"


def test_quit() -> None:
    client = ready()
    client.quit()
    assert client.outgoing() == b"QUIT\r\n"
    client.receive(b"221 bye\r\n")
    assert events(client) == [Quit()]


def test_starttls_forgets_what_was_said_in_the_clear() -> None:
    client = ready(b"250-hi\r\n250-SIZE 1\r\n250-LIMITS MAILMAX=5\r\n250 STARTTLS\r\n")
    client.start_tls()
    assert client.outgoing() == b"STARTTLS\r\n"
    client.receive(b"220 go\r\n")
    assert events(client) == [TlsReady()]
    assert client.limits.mails == 5
    client.tls_started()
    assert client.limits == Limits()
    assert client.extensions == {}
    assert client.outgoing() == b"EHLO mx.example.org\r\n"
    client.receive(b"250-hi\r\n250 DSN\r\n")
    assert events(client) == [Ready({"DSN": ""})]


@pytest.mark.parametrize("more", [b"2", b"250 injected\r\n"])
def test_clear_text_behind_the_reply_to_starttls_is_refused(more: bytes) -> None:
    client = ready(b"250-hi\r\n250 STARTTLS\r\n")
    client.start_tls()
    with pytest.raises(PeerError):
        client.receive(b"220 go\r\n" + more)


def test_refused_starttls_leaves_a_connection_in_the_clear() -> None:
    client = ready(b"250-hi\r\n250 STARTTLS\r\n")
    client.start_tls()
    client.receive(b"454 not now\r\n")
    assert events(client) == [TlsRefused(Reply(454, "not now"))]
    client.outgoing()
    client.begin(TO_ONE)
    assert client.outgoing().startswith(b"MAIL")


@pytest.mark.parametrize(
    "address",
    [
        "a\r\nQUIT",
        "a@b\n",
        "a@b\0",
        "a b@c",
        "a@b> SIZE=1",
        "<a@b",
        '"a@b',
        '"a\r\n"@b',
        '"a\\\n"@b',
        "a@b c",
        "a@b@c d",
        "\x7f@b",
        "a\ud800@b",
    ],
)
def test_an_address_that_would_break_the_dialogue(address: str) -> None:
    for transaction in (
        Transaction(address, (To("b@example.net"),), 1),
        Transaction("a@example.org", (To("b@example.net"), To(address)), 1),
    ):
        client = ready(b"250-hi\r\n250 SMTPUTF8\r\n")
        with pytest.raises(ValueError):
            client.begin(transaction)
        assert client.outgoing() == b""
        client.begin(TO_ONE)
        assert client.outgoing().startswith(b"MAIL")


@pytest.mark.parametrize("address", ['"a b"@c', '"a>b"@c', '"a\\"b"@c', "a+b=c@d.e", "postmaster", "a@[192.0.2.1]"])
def test_an_unusual_address_that_is_fine(address: str) -> None:
    client = ready()
    client.begin(Transaction(address, (To(address),), 1))
    assert client.outgoing().count(f"<{address}>".encode()) == 2


@pytest.mark.parametrize("name", ["", "a b", "a\r\nQUIT", "é"])
def test_a_host_name_that_would_break_the_dialogue(name: str) -> None:
    with pytest.raises(ValueError):
        SmtpClient(name)


FULL = b"250-hi\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 PIPELINING\r\n"
BINARY = b"250-hi\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME\r\n"
MAIL = [
    (FULL, {"body": "8BITMIME"}, b"MAIL FROM:<a@example.org> SIZE=5 BODY=8BITMIME\r\n"),
    (PIPELINING, {"body": "8BITMIME"}, b"MAIL FROM:<a@example.org> SIZE=5\r\n"),
    (FULL, {"smtputf8": True}, b"MAIL FROM:<a@example.org> SIZE=5 SMTPUTF8\r\n"),
    (FULL, {"sender": "é@example.org"}, "MAIL FROM:<é@example.org> SIZE=5 SMTPUTF8\r\n".encode()),
    (PIPELINING, {"smtputf8": True}, b"MAIL FROM:<a@example.org> SIZE=5\r\n"),
    (PIPELINING, {"sender": "a@bücher.example"}, b"MAIL FROM:<a@xn--bcher-kva.example> SIZE=5\r\n"),
    (FULL, {"sender": ""}, b"MAIL FROM:<> SIZE=5\r\n"),
    (FULL, {"ret": "FULL", "envid": "a+2Bb"}, b"MAIL FROM:<a@example.org> SIZE=5 RET=FULL ENVID=a+2Bb\r\n"),
    (FULL, {"recipients": (To("b@c"), To("é@c"))}, b"MAIL FROM:<a@example.org> SIZE=5 SMTPUTF8\r\n"),
    (PIPELINING, {"sender": '"x@y"@bücher.example'}, b'MAIL FROM:<"x@y"@xn--bcher-kva.example> SIZE=5\r\n'),
    (FULL, {"ret": "HDRS"}, b"MAIL FROM:<a@example.org> SIZE=5 RET=HDRS\r\n"),
    (FULL, {"strict_8bit": True}, b"MAIL FROM:<a@example.org> SIZE=5\r\n"),
    (BINARY, {"body": "BINARYMIME"}, b"MAIL FROM:<a@example.org> BODY=BINARYMIME\r\n"),
    (FULL, {"envid": "a b+"}, b"MAIL FROM:<a@example.org> SIZE=5 ENVID=a+20b+2B\r\n"),
    (PIPELINING, {"ret": "FULL", "envid": "a"}, b"MAIL FROM:<a@example.org> SIZE=5\r\n"),
]


@pytest.mark.parametrize(("ehlo", "changes", "line"), MAIL)
def test_mail_parameters(ehlo: bytes, changes: dict[str, object], line: bytes) -> None:
    client = ready(ehlo)
    client.begin(Transaction(**{"sender": "a@example.org", "recipients": (To("b@c"),), "size": 5, **changes}))  # type: ignore[arg-type]
    assert client.outgoing().startswith(line)


RCPT = [
    (To("b@c", "NEVER"), b"<b@c> NOTIFY=NEVER"),
    (To("b@c", "SUCCESS,DELAY"), b"<b@c> NOTIFY=SUCCESS,DELAY"),
    (To("b@c", "", "rfc822;x+2By@c"), b"<b@c> ORCPT=rfc822;x+2By@c"),
    (To("b@c", "", "x+y@c"), b"<b@c> ORCPT=rfc822;x+2By@c"),
    (To("b@c", "", "é@c"), b"<b@c> ORCPT=utf-8;\\x{E9}@c"),
    (To("b@c", "", "utf-8;é@c"), b"<b@c> ORCPT=utf-8;\\x{E9}@c"),
    (To("b@c", "", "utf-8;\\x{E9}@c"), b"<b@c> ORCPT=utf-8;\\x{E9}@c"),
    (To("b@c", "", "UTF-8;\\x{E9}@c"), b"<b@c> ORCPT=UTF-8;\\x{E9}@c"),
    (To("b@c", "", "utf-8;a b@c"), b"<b@c> ORCPT=utf-8;a\\x{20}b@c"),
    (To("b@c", "", "rfc822;é@c"), b"<b@c> ORCPT=utf-8;\\x{E9}@c"),
    (To("b@c", "", "rfc822;x;y@c"), b"<b@c> ORCPT=rfc822;x;y@c"),
    (To("b@c", "", "rfc822;" + "a" * 493), b"<b@c> ORCPT=rfc822;" + b"a" * 493),  # RFC 3461 4.2: at most 500 octets
    (To("b@c", "", "rfc822;" + "a" * 494), b"<b@c>"),
]


@pytest.mark.parametrize(("to", "line"), RCPT)
def test_rcpt_parameters(to: To, line: bytes) -> None:
    client = ready(FULL)
    client.begin(Transaction("", (to,), 5))
    assert b"RCPT TO:" + line + b"\r\n" in client.outgoing()


@pytest.mark.parametrize("to", [To("b@c", "NEVER\r\nQUIT"), To("b@c", "", "x y;b@c"), To("b@c", "", "x\n;b@c")])
def test_rcpt_parameters_that_would_break_the_dialogue(to: To) -> None:
    with pytest.raises(ValueError):
        ready(FULL).begin(Transaction("", (to,), 5))


OBJECTIONS = [
    ({"size": 1001}, "552 5.3.4"),
    ({"sender": "é@example.org"}, "553 5.6.7"),
    ({"sender": "a@é..example"}, "553 5.6.7"),  # a domain that has no A-label
    ({"recipients": (To("é@bücher.example"),)}, "553 5.6.7"),
    ({"utf8_headers": True}, "553 5.6.7"),
    ({"utf8_headers": True, "sender": "a@bücher.example"}, "553 5.6.7"),
    ({"body": "BINARYMIME"}, "554 5.6.3"),
    ({"strict_8bit": True}, "554 5.6.3"),
]


@pytest.mark.parametrize(("changes", "codes"), OBJECTIONS)
def test_what_this_server_cannot_take_is_not_offered_to_it(changes: dict[str, object], codes: str) -> None:
    client = ready()
    client.begin(Transaction(**{"sender": "a@b", "recipients": (To("b@c"),), "size": 5, **changes}))  # type: ignore[arg-type]
    (finished,) = events(client)
    assert isinstance(finished, Finished)
    (reply,) = finished.replies
    assert (reply.local, f"{reply.code} {reply.status}") == (True, codes)
    assert client.outgoing() == b""


@pytest.mark.parametrize("offer", [b"CHUNKING", b"BINARYMIME"])
def test_binary_content_needs_chunks_and_a_server_that_takes_it(offer: bytes) -> None:
    client = ready(b"250-hi\r\n250-PIPELINING\r\n250 " + offer + b"\r\n")
    client.begin(TO_ONE._replace(body="BINARYMIME"))
    assert codes(client) == [554]
    assert client.outgoing() == b""


@pytest.mark.parametrize(
    ("size", "limit"), [(1000, b"SIZE 1000"), (2000, b"SIZE 0"), (2000, b"SIZE"), (2000, b"SIZE x")]
)
def test_a_size_within_the_limit_and_without_one(size: int, limit: bytes) -> None:
    client = ready(b"250-hi\r\n250 " + limit + b"\r\n")
    client.begin(Transaction("a@b", (To("b@c"),), size))
    assert client.outgoing() == b"MAIL FROM:<a@b> SIZE=%d\r\n" % size


@given(
    st.lists(st.sampled_from([b"250 ok\r\n", b"354 go\r\n", b"550 no\r\n", b"421 bye\r\n", b"450-x\r\n"]), max_size=9)
)
def test_any_sequence_of_replies_is_an_event_or_a_peer_error(replies: list[bytes]) -> None:
    client = ready()
    client.begin(TO_TWO)
    for reply in replies:
        try:
            client.receive(reply)
        except PeerError:
            return
        for event in events(client):
            if isinstance(event, ContentWanted):
                client.content(b"hello")
                client.end_content()
            if isinstance(event, Finished):
                assert len(event.replies) == 2
            if isinstance(event, Closing):
                return
