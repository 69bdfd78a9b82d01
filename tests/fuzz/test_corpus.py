"""Every parser against the corpus, whole and in pieces, and against what hypothesis makes of its parts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(CORPUS.glob("*/*"))
PARTS = {  # what hypothesis puts together
    "smtp": [
        b"x" * 600,
        *(
            b"EHLO a\r\n|HELO a\r\n|MAIL FROM:<a@b.test>| SIZE=10| BODY=8BITMIME|RCPT TO:<c@d.test>|DATA\r\n|.\r\n|"
            b"..\r\n|\r\n.\r\n|\n.\n|BDAT 5 LAST\r\n|BDAT 3\r\n|RSET\r\n|QUIT\r\n|AUTH PLAIN |AGEAYg==|STARTTLS\r\n|"
            b"\r\n|\n|\r| |\xff|"
            b"NOTIFY=NEVER|ORCPT=rfc822;x+2By|+2|*|NOOP\r\n|VRFY x\r\n|hello"
        ).split(b"|"),
    ],
    "client": [
        b"x" * 600,
        *(
            b"220 hi\r\n|250 ok\r\n|250-|PIPELINING\r\n|SIZE 1000\r\n|CHUNKING\r\n|STARTTLS\r\n|354 go\r\n|"
            b"550 5.1.1 no\r\n|421 bye\r\n|451-a\r\n|451 b\r\n|\r\n|\n|\xff|"
            b"250 5.7.|999 x\r\n"
        ).split(b"|"),
    ],
    "pop3": [
        b"x" * 300,
        *(
            b"USER a\r\n|PASS b\r\n|STAT\r\n|LIST|UIDL|RETR 1\r\n|TOP 1 0\r\n|DELE 2\r\n|RSET\r\n|QUIT\r\n|CAPA\r\n|"
            b"AUTH PLAIN |AUTH LOGIN\r\n|AGEAYg==\r\n|*\r\n|"
            b"STLS\r\n| 1|\r\n|\n|\xff|99999999999999999999999999999999999999999999999999"
        ).split(b"|"),
    ],
    "text": (
        b'<|>|@|a|example.org|"|\\|[127.0.0.1]|[IPv6:::1]|.|,:|xn--|=?utf-8?b?|?=|Subject: |\r\n|\r\n |\xc3\xa9|'
        b"+2B|[lane.x]\n|stages = [|]|'queue'|\x81\xa1a"
    ).split(b"|"),
}
OF = {"smtp_server": "smtp", "smtp_client": "client", "replies": "client", "pop3": "pop3"}


def test_there_is_a_corpus_for_every_target() -> None:
    assert {path.parent.name for path in FILES} == {*TARGETS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_file_of_the_corpus(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_parts_in_any_order(name: str, data: st.DataObject) -> None:
    parts = st.lists(st.sampled_from(PARTS[OF.get(name, "text")]) | st.binary(max_size=8), max_size=30).map(b"".join)
    TARGETS[name](data.draw(st.binary(min_size=4, max_size=4)) + data.draw(parts))
