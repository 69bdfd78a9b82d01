"""Responses of HTTP/1.1, whole and octet by octet; requests that no value can break out of."""

import pytest

from engine.protocols.http_client import HEAD_LIMIT, HttpClient, HttpError, Response

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"


def read(*pieces: bytes, limit: int = 1000) -> tuple[Response | None, bool]:
    """The response, and whether the connection can be used again."""
    client = HttpClient(limit)
    response = None
    for piece in pieces:
        assert response is None, "it is whole already"
        response = client.receive(piece)
    return response, client.reusable


def octets(text: bytes) -> list[bytes]:
    return [text[at : at + 1] for at in range(len(text))]


@pytest.mark.parametrize(
    ("text", "status", "body", "reusable"),
    [
        (OK + b"Content-Length: 5\r\n\r\nhello", 200, b"hello", True),
        (OK + b"content-length:5\r\nConnection: Keep-Alive\r\n\r\nhello", 200, b"hello", True),
        (OK + b"Content-Length: 5\r\nConnection: close\r\n\r\nhello", 200, b"hello", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", True),
        (b"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", 503, b"", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi", 200, b"hi", True),
        (OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
        (CHUNKED + b"\r\n5\r\nhello\r\n6;x=y\r\n there\r\n0\r\n\r\n", 200, b"hello there", True),
        (CHUNKED + b"Content-Length: 3\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", 200, b"0123456789", True),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\nTrailer: yes\r\nMore: yes\r\n\r\n", 200, b"x", True),
    ],
)  # fmt: skip
def test_a_response(text: bytes, status: int, body: bytes, reusable: bool) -> None:
    assert read(text) == (Response(status, body), reusable)
    assert read(*octets(text)) == (Response(status, body), reusable)


def test_a_body_that_ends_with_the_connection() -> None:
    assert read(OK + b"\r\nhel", b"lo", b"") == (Response(200, b"hello"), False)


def test_what_stands_behind_a_response_belongs_to_no_request() -> None:
    assert read(OK + b"Content-Length: 2\r\n\r\nhi" + OK) == (Response(200, b"hi"), False)


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/2 200\r\n\r\n",
        b"+OK ready\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        OK + b"Content-Length: -2\r\n\r\nhi",
        OK + b"Content-Length: 1001\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\n",
        CHUNKED + b"\r\nhello\r\n",
        CHUNKED + b"\r\n-1\r\n",
        CHUNKED + b"\r\n2\r\nhello\r\n",
        CHUNKED + b"\r\n3e9\r\n",
        CHUNKED + b"\r\n" + b"1" * (HEAD_LIMIT + 1),
        CHUNKED + b"\r\n0\r\n" + b"T: x\r\n" * HEAD_LIMIT,
        OK + b"\r\n" + b"x" * 1001,
        OK + b"X: " + b"x" * HEAD_LIMIT,
    ],
)
def test_what_is_no_response(text: bytes) -> None:
    with pytest.raises(HttpError):
        read(text)


@pytest.mark.parametrize(
    "text",
    [b"", OK, OK + b"Content-Length: 3\r\n\r\nhi", CHUNKED + b"\r\n2\r\nhi\r\n"],
)
def test_an_end_in_the_midst(text: bytes) -> None:
    with pytest.raises(HttpError, match="closed"):
        read(*([text] if text else []), b"")


def test_one_request_after_the_other() -> None:
    client = HttpClient()
    for number in (b"1", b"2"):
        client.begin("POST", "/", [], 0)
        assert not client.has_heard
        assert client.receive(OK) is None
        assert client.has_heard
        assert client.receive(b"Content-Length: 1\r\n\r\n" + number) == Response(200, number)
        assert client.reusable


def test_a_request() -> None:
    head = HttpClient().begin("POST", "/checkv2", [("Host", "a"), ("Rcpt", "<b>"), ("Rcpt", "<grün>")], 12)
    assert head == (
        "POST /checkv2 HTTP/1.1\r\nHost: a\r\nRcpt: <b>\r\nRcpt: <grün>\r\nContent-Length: 12\r\n\r\n".encode()
    )


def test_no_value_adds_a_field() -> None:
    head = HttpClient().begin("POST", "/", [("Helo", "a\r\nUser: root\0")], 0)
    assert head == b"POST / HTTP/1.1\r\nHelo: a??User: root?\r\nContent-Length: 0\r\n\r\n"


def test_a_large_chunk_is_taken_as_it_comes() -> None:
    """What is held until it is whole would be copied with each further piece: 14 seconds of a core for 50 MB."""
    client = HttpClient()
    client.begin("POST", "/", [], 0)
    assert client.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % (32 * 1000)) is None
    for number in range(32):
        assert client.receive(bytes([number]) * 1000) is None
        assert client._held == b""
    for octet in b"\r\n3\r\nabc\r":
        assert client.receive(bytes([octet])) is None
    response = client.receive(b"\n0\r\n\r\n")
    assert response is not None
    assert (len(response.body), response.body[-3:]) == (32_003, b"abc")


@pytest.mark.parametrize("behind", [b"x", b"\rx", b"\n"])
def test_a_chunk_that_does_not_end_where_it_says(behind: bytes) -> None:
    client = HttpClient()
    client.begin("POST", "/", [], 0)
    client.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab")
    with pytest.raises(HttpError, match="a chunk that does not end"):
        client.receive(behind + b"0\r\n")
