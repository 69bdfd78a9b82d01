"""Connections: what is read, awaited, cancelled and closed."""

import errno
import os
import socket
import ssl
import struct
from collections import Counter

import pytest
import trio
import trustme
from trio.testing import wait_all_tasks_blocked

from engine.net.connection import RECEIVE, Connection, ConnectionLost


class Pair:
    """A connection, and the plain socket of its peer, which does not block."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.peer = socket.create_connection(listener.getsockname())
            accepted, _ = listener.accept()
        self.peer.setblocking(False)
        self.ours = Connection(accepted)

    def reset(self):
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()


@pytest.fixture
async def pair():
    pair = Pair()
    yield pair
    pair.ours.close()
    pair.peer.close()


class Reading:
    """A task that has called ``receive``, and what came of it."""

    def __init__(self, connection, limit=RECEIVE):
        self.connection = connection
        self.limit = limit
        self.scope = trio.CancelScope()
        self.got = None
        self.done = trio.Event()

    async def run(self):
        with self.scope:
            try:
                self.got = await self.connection.receive(self.limit)
            except ConnectionLost as lost:
                self.got = lost
        self.done.set()


async def everything(connection):
    octets = b""
    while more := await connection.receive():
        octets += more
    return octets


async def test_what_was_there_before_the_connection_is_read():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as peer:
            peer.sendall(b"early")
            accepted, _ = listener.accept()
        connection = Connection(accepted)
    assert await connection.receive() == b"early"
    assert await connection.receive() == b""
    connection.close()


async def test_octets_wake_a_waiting_reader(pair, nursery):
    for said in (b"one", b"two", b"three"):
        reading = Reading(pair.ours)
        nursery.start_soon(reading.run)
        await wait_all_tasks_blocked()
        assert reading.got is None
        pair.peer.send(said)
        await reading.done.wait()
        assert reading.got == said


async def test_octets_that_come_between_a_read_and_the_next_wait_are_not_missed(pair):
    for number in range(20):
        pair.peer.send(b"first")
        assert await pair.ours.receive() == b"first"
        pair.peer.send(b"second")
        if number % 2:
            await wait_all_tasks_blocked()
        assert await pair.ours.receive() == b"second"


async def test_a_full_read_is_followed_by_another(pair):
    pair.peer.send(b"abcdefg")
    await wait_all_tasks_blocked()
    assert [await pair.ours.receive(3) for _ in range(3)] == [b"abc", b"def", b"g"]
    pair.peer.send(b"abc")
    assert await pair.ours.receive(3) == b"abc"
    pair.peer.send(b"more")  # the read above took all there was, and cannot know it
    assert await pair.ours.receive(3) == b"mor"


async def test_the_last_octets_and_the_end_may_come_at_once(pair):
    pair.peer.send(b"bye")
    pair.peer.shutdown(socket.SHUT_WR)
    await wait_all_tasks_blocked()
    assert [await pair.ours.receive() for _ in range(4)] == [b"bye", b"", b"", b""]


async def test_an_end_between_a_read_and_the_next_wait_is_seen(pair):
    pair.peer.send(b"bye")
    assert await pair.ours.receive() == b"bye"
    pair.peer.shutdown(socket.SHUT_WR)
    await wait_all_tasks_blocked()
    assert await pair.ours.receive() == b""


async def test_a_waiting_reader_sees_the_end(pair, nursery):
    reading = Reading(pair.ours)
    nursery.start_soon(reading.run)
    await wait_all_tasks_blocked()
    pair.peer.shutdown(socket.SHUT_WR)
    await reading.done.wait()
    assert reading.got == b""


async def test_a_half_closed_peer_still_reads(pair):
    pair.peer.shutdown(socket.SHUT_WR)
    assert await pair.ours.receive() == b""
    await pair.ours.send(b"answer")
    assert pair.peer.recv(100) == b"answer"


async def test_a_reset_ends_a_read(pair, nursery):
    reading = Reading(pair.ours)
    nursery.start_soon(reading.run)
    await wait_all_tasks_blocked()
    pair.reset()
    await reading.done.wait()
    assert isinstance(reading.got, ConnectionLost)
    assert reading.got.errno == errno.ECONNRESET


async def test_a_reset_before_the_read_is_told_too(pair):
    pair.peer.send(b"x")
    assert await pair.ours.receive() == b"x"
    pair.reset()
    with pytest.raises(ConnectionLost):
        await pair.ours.receive()


async def test_a_read_that_stops_at_urgent_data_is_followed_by_another(pair):
    pair.peer.send(b"before")
    pair.peer.send(b"!", socket.MSG_OOB)
    pair.peer.send(b"behind")
    await wait_all_tasks_blocked()
    assert await pair.ours.receive() + await pair.ours.receive() == b"beforebehind"


async def test_a_close_under_a_waiting_reader_ends_its_read(pair, nursery):
    reading = Reading(pair.ours)
    nursery.start_soon(reading.run)
    await wait_all_tasks_blocked()
    pair.ours.close()
    await reading.done.wait()
    assert isinstance(reading.got, ConnectionLost)
    with pytest.raises(ConnectionLost):
        await pair.ours.receive()
    with pytest.raises(ConnectionLost):
        await pair.ours.send(b"x")


async def test_a_closed_connection_is_watched_no_more_though_a_copy_of_its_socket_lives(pair, nursery):
    number = pair.ours._socket.fileno()
    copy = os.dup(number)  # as in a process that is being started
    mine, peer = socket.socketpair()
    pair.ours.close()
    with peer, mine:
        other = Connection(socket.socket(fileno=os.dup2(mine.fileno(), number)))
        reading = Reading(other)
        nursery.start_soon(reading.run)
        await wait_all_tasks_blocked()
        pair.peer.send(b"to nobody")
        await wait_all_tasks_blocked()
        peer.send(b"to the other")
        await reading.done.wait()
        assert reading.got == b"to the other"
        other.close()
    os.close(copy)


async def test_a_cancelled_read_loses_nothing(pair, nursery):
    for number in range(3):
        reading = Reading(pair.ours)
        nursery.start_soon(reading.run)
        await wait_all_tasks_blocked()
        reading.scope.cancel()
        await reading.done.wait()
        assert reading.got is None
        pair.peer.send(b"kept")
        if number:
            await wait_all_tasks_blocked()
        assert await pair.ours.receive() == b"kept"


async def test_a_read_in_a_cancelled_scope_takes_nothing(pair):
    pair.peer.send(b"kept")
    for readable in (False, True):
        if readable:
            await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            await pair.ours.receive()
            pytest.fail("it was cancelled")
    assert await pair.ours.receive() == b"kept"


async def test_a_timeout_ends_a_read(pair, autojump_clock):
    with trio.move_on_after(300) as scope:
        await pair.ours.receive()
    assert scope.cancelled_caught


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="this kernel can not be told when to acknowledge")
async def test_what_has_come_is_acknowledged_at_once_if_need_be(pair):
    pair.ours._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
    pair.peer.send(b"short")
    assert await pair.ours.receive() == b"short"
    pair.ours.acknowledge()
    (unacknowledged,) = struct.unpack_from("I", pair.peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)
    assert unacknowledged == 0
    pair.ours.close()
    pair.ours.acknowledge()


async def test_two_tasks_must_not_read_at_once(pair, nursery):
    reading = Reading(pair.ours)
    nursery.start_soon(reading.run)
    await wait_all_tasks_blocked()
    with pytest.raises(trio.BusyResourceError):
        await pair.ours.receive()
    reading.scope.cancel()


async def test_a_send_waits_for_room_and_sends_all(pair, nursery):
    octets = bytes(range(256)) * 40_000
    done = trio.Event()

    async def send():
        await pair.ours.send(octets)
        done.set()

    nursery.start_soon(send)
    await wait_all_tasks_blocked()
    assert not done.is_set()
    got = b""
    while len(got) < len(octets):
        await trio.lowlevel.wait_readable(pair.peer)
        got += pair.peer.recv(1 << 20)
    await done.wait()
    assert got == octets


async def test_both_directions_wait_at_once(pair, nursery):
    reading = Reading(pair.ours)
    nursery.start_soon(reading.run)
    sending = trio.CancelScope()

    async def send():
        with sending:
            await pair.ours.send(bytes(10_000_000))

    nursery.start_soon(send)
    await wait_all_tasks_blocked()
    pair.peer.send(b"hello")
    await reading.done.wait()
    assert reading.got == b"hello"
    assert not sending.cancelled_caught
    sending.cancel()
    await wait_all_tasks_blocked()
    assert sending.cancelled_caught


async def test_a_close_under_a_waiting_sender_ends_its_send(pair, nursery):
    lost = []

    async def send():
        try:
            await pair.ours.send(bytes(10_000_000))
        except ConnectionLost as error:
            lost.append(error)

    nursery.start_soon(send)
    await wait_all_tasks_blocked()
    pair.ours.close()
    await wait_all_tasks_blocked()
    assert len(lost) == 1


async def test_a_reset_ends_a_waiting_send(pair, nursery):
    lost = []

    async def send():
        try:
            await pair.ours.send(bytes(10_000_000))
        except ConnectionLost as error:
            lost.append(error.errno)

    nursery.start_soon(send)
    await wait_all_tasks_blocked()
    pair.reset()
    await wait_all_tasks_blocked()
    assert lost == [errno.ECONNRESET]


async def test_a_gentle_close_reads_until_the_peer_has_closed(pair, nursery):
    ended = trio.Event()

    async def close():
        await pair.ours.send(b"last words")
        await pair.ours.close_gently(linger=1e9)
        ended.set()

    pair.peer.send(b"unread")
    nursery.start_soon(close)
    await wait_all_tasks_blocked()
    pair.peer.send(b"more")
    await wait_all_tasks_blocked()
    assert not ended.is_set()
    assert pair.peer.recv(100) == b"last words"
    assert pair.peer.recv(100) == b""
    pair.peer.close()
    await ended.wait()


async def test_a_gentle_close_waits_no_longer_than_it_may(pair, autojump_clock):
    before = trio.current_time()
    await pair.ours.close_gently(linger=5)
    assert trio.current_time() - before == pytest.approx(5)
    with pytest.raises(ConnectionLost):
        await pair.ours.receive()


async def test_many_connections_at_once_get_each_its_own(nursery):
    pairs = [Pair() for _ in range(300)]
    got = Counter()

    async def read(number, ours):
        while octets := await ours.receive():
            got[number] += len(octets)
            await ours.send(octets)

    for number, pair in enumerate(pairs):
        nursery.start_soon(read, number, pair.ours)
    for turn in range(1, 4):
        await wait_all_tasks_blocked()
        for number, pair in enumerate(pairs):
            pair.peer.send(bytes(number + 1))
        await wait_all_tasks_blocked()
        assert got == {number: turn * (number + 1) for number in range(300)}
        assert [len(pair.peer.recv(1000)) for pair in pairs] == list(range(1, 301))
    for pair in pairs:
        pair.peer.close()
    await wait_all_tasks_blocked()
    for pair in pairs:
        pair.ours.close()


@pytest.fixture(scope="module")
def certificates():
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("mx.example.org").configure_cert(server)
    authority.configure_trust(client)
    return server, client


async def over_tls(certificates):
    server, client = certificates
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mine = Connection(socket.create_connection(listener.getsockname()))
        accepted, _ = listener.accept()
        theirs = Connection(accepted)
    await mine.send(b"STARTTLS\r\n")
    assert await theirs.receive() == b"STARTTLS\r\n"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: theirs.start_tls(server, server_side=True))
        await mine.start_tls(client, server_side=False, hostname="mx.example.org")
    return mine, theirs


async def test_octets_pass_under_tls_after_some_in_the_clear(certificates, nursery):
    mine, theirs = await over_tls(certificates)
    assert mine.tls.startswith("TLSv1.")
    for octets in (b"hello", bytes(300_000)):
        nursery.start_soon(mine.send, octets)
        got = b""
        while len(got) < len(octets):
            got += await theirs.receive()
        assert got == octets
    nursery.start_soon(mine.close_gently)
    assert await theirs.receive() == b""
    await theirs.close_gently()


async def test_a_close_under_a_reader_under_tls_ends_its_read(certificates, nursery):
    mine, theirs = await over_tls(certificates)
    reading = Reading(theirs)
    nursery.start_soon(reading.run)
    await wait_all_tasks_blocked()
    theirs.close()
    await reading.done.wait()
    assert isinstance(reading.got, ConnectionLost)
    mine.close()


async def test_who_says_nothing_is_waited_for_and_who_speaks_is_not(pair, autojump_clock):
    began = trio.current_time()
    assert not await pair.ours.speaks_within(5)
    assert trio.current_time() == began + 5
    pair.peer.send(b"EHLO")
    assert await pair.ours.speaks_within(5)
    assert trio.current_time() == began + 5
    assert await pair.ours.receive() == b"EHLO", "it is still there"


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_who_hangs_up_is_not_waited_for(pair, how, autojump_clock):
    began = trio.current_time()
    pair.peer.close() if how == "close" else pair.reset()
    with pytest.raises(ConnectionLost):
        await pair.ours.speaks_within(5)
    assert trio.current_time() == began
