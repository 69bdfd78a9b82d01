"""News of changes: told after the commit, remembered for those who are busy."""

from pathlib import Path

import trio
import zmq
from mailbox_samples import written

from engine.links.publish import Publisher
from engine.mailbox import MailboxOwner, News, NewsDesk
from engine.mailbox.commands import Begin, Create, Move, Store
from engine.mailbox.flags import SEEN, Mode
from engine.mailbox.layout import INBOX

ANN, BEN = 1, 2
DEADLINE = 20  # seconds, of which a test that works needs a fraction


async def test_after_each_commit_the_owner_tells_what_has_changed(owner: MailboxOwner) -> None:
    told: list[News] = []
    owner.tell = told.append
    await owner.deliver(written(b"\r\n"), {ANN: "ann@example.org", BEN: "ben@example.org"})
    assert {(news.account, news.mailbox) for news in told} >= {(ANN, INBOX), (BEN, INBOX)}
    told.clear()
    answer = await owner.change(Store(account=ANN, mailbox=INBOX, uids=(1,), mode=Mode.ADD, flags=SEEN))
    assert told == [News(ANN, INBOX, answer.modseq)]
    assert (await owner.change(Store(account=ANN, mailbox=INBOX, uids=(1,), mode=Mode.ADD, flags=SEEN))).modseq == 0
    assert len(told) == 1
    other = (await owner.change(Create(account=ANN, name="Other"))).mailbox
    told.clear()
    await owner.change(Move(account=ANN, mailbox=INBOX, uids=(1,), to=other))
    assert {news.mailbox for news in told} == {INBOX, other}


async def test_news_reach_those_who_watch_in_another_process(owner: MailboxOwner, tmp_path: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    endpoint, desk = f"ipc://{tmp_path}/news", NewsDesk()
    publisher = Publisher(context, endpoint)
    owner.tell = lambda news: publisher.tell(*news)
    with trio.fail_after(DEADLINE), desk.watching(ANN) as watch:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publisher.serve)
            nursery.start_soon(desk.listen, context, endpoint)
            assert await watch.wait() is None  # from now on all is heard
            await owner.change(Begin(account=ANN))
            changed = {}
            while len(changed) < 6:
                changed |= await watch.wait() or {}
            await owner.deliver(written(b"\r\n"), {ANN: "ann@example.org"})
            status = owner.reader.status(ANN, INBOX)
            assert status is not None
            assert await watch.wait() == {INBOX: status.modseq}
            nursery.cancel_scope.cancel()
    context.term()


async def test_a_watch_gathers_what_comes_while_nobody_waits() -> None:
    desk = NewsDesk()
    with desk.watching(ANN) as watch, desk.watching(ANN) as other:
        for news in (News(ANN, 1, 5), News(ANN, 1, 6), News(ANN, 2, 7), News(BEN, 1, 8)):
            desk.tell(news)
        assert await watch.wait() == {1: 6, 2: 7}
        with trio.move_on_after(0):
            await watch.wait()
            raise AssertionError("there was nothing new")
        desk.lost()
        assert await watch.wait() is None
        assert await other.wait() is None
    desk.tell(News(ANN, 1, 9))
