"""THREADID (RFC 8474 5.2): the same for all messages of a thread, in whatever mailbox, whether indexed or not."""

import re

import pytest

from tests.imap.imap_serving import Client, Post

FIRST = b"Message-ID: <1@x>\r\nSubject: one\r\n\r\n"
ANSWER = b"Message-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\nSubject: Re: one\r\n\r\n"
LATE = b"Message-ID: <3@x>\r\nReferences: <1@x>\r\n <lost@x> <2@x>\r\nSubject: something else\r\n\r\n"
OTHER = b"Message-ID: <4@x>\r\nSubject: one\r\n\r\n"
NAMELESS = b"Subject: one\r\n\r\n"


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.index.reader.LOOK", 0.0)


async def ids(client: Client, mailbox: str = "INBOX") -> list[str]:
    await client.ok(f"SELECT {mailbox}")
    found = [re.search(rb"THREADID \(([\w-]{1,255})\)", line) for line in await client.ok("FETCH 1:* THREADID")]
    return [one[1].decode() for one in found if one]


@pytest.mark.parametrize("indexed", [False, True])
async def test_messages_of_a_thread_have_one_id(post: Post, indexed: bool) -> None:
    client = await post.client()
    for content in (LATE, FIRST, OTHER, ANSWER, NAMELESS, NAMELESS):
        await client.append(content)
    await client.ok("SELECT INBOX")
    await client.ok("COPY 2,5 Archive")
    if indexed:
        post.build_index(full_text=False)
    late, first, other, answer, nameless, another = await ids(client)
    assert late == first == answer
    assert len({first, other, nameless, another}) == 4
    assert await ids(client, "Archive") == [first, nameless]
    await client.ok("SELECT INBOX")
    assert await client.ok(f"SEARCH THREADID {first}") == [b"* SEARCH 1 2 4"]
    assert await client.ok(f"UID SEARCH NOT THREADID {first} SUBJECT one") == [b"* SEARCH 3 5 6"]
    assert await client.ok("SEARCH THREADID Tnobody") == [b"* SEARCH"]


async def test_the_index_and_the_message_itself_say_the_same(post: Post) -> None:
    client = await post.client()
    for content in (LATE, FIRST, NAMELESS):
        await client.append(content)
    await post.deliver()
    before = await ids(client)
    post.build_index(full_text=False)
    assert await ids(client) == before
    assert post.service.index.digests([post.owner.reader.content_of(1, 1, 1)]) != [None]
