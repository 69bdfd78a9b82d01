"""SEARCH TEXT and BODY find the same by the index as without it (RFC 9051 6.4.4)."""

import pytest

from tests.imap.imap_serving import Post

MESSAGES = (
    b"Subject: apples\r\nX-Colour: red\r\nMessage-ID: <1@orchard.example>\r\n\r\nripe\r\n",
    b"From: Ann <ann@example.org>\r\nSubject: pears\r\n\r\nThe subject is apples.\r\n",
    b"DKIM-Signature: v=1; d=pears.example; b=AbCdEf\r\nList-Id: =?utf-8?q?Gr=C3=BCn?= <green.example>\r\n\r\n\r\n",
    b"Content-Type: text/html\r\nX-Empty:\r\n\r\n<b>colour</b>less <i title='hidden'>pear</i>\r\n",
)

TEXTS = (
    "apples", "subject", "SUBJ", "x-colour", "colour", "colour: re", "subject: pears", "ject: app", "message-id",
    "orchard", "dkim-signature", "dkim", "abcdef", "v=1", "list-id: gr", "ann <ann@", "x-empty", "hidden", "pear",
    "content-type: text", "return-path", "delivered-to",
)  # fmt: skip


@pytest.mark.parametrize("key", ["TEXT", "BODY"])
async def test_the_index_finds_what_a_look_at_each_message_finds(post: Post, key: str) -> None:
    client = await post.client()
    for content in MESSAGES:
        await client.append(content)
    await post.deliver()  # with header fields of its delivery
    await client.ok("SELECT INBOX")
    before = [await client.ok(f'SEARCH {key} "{text}"') for text in TEXTS]
    post.build_index()
    after = [await client.ok(f'SEARCH {key} "{text}"') for text in TEXTS]
    assert dict(zip(TEXTS, after, strict=True)) == dict(zip(TEXTS, before, strict=True))
    found = dict(zip(TEXTS, after, strict=True))
    if key == "TEXT":
        assert found["x-colour"] == [b"* SEARCH 1"]
        assert found["dkim-signature"] == [b"* SEARCH 3"]
        assert found["abcdef"] == [b"* SEARCH"]
    else:
        assert found["subject"] == [b"* SEARCH 2"]
