"""News for the pages that are open: which mailboxes have changed, as server-sent events.

Only that something has changed is told, and where: the page asks for what it shows. So nothing that is told can be
stale, and what a slow reader missed is made good by the next word.
"""

import math

from starlette.requests import Request
from starlette.responses import Response

from engine.mailbox.views import mailbox_id
from engine.web.bounds import bounded
from engine.web.mail.desk import desk_of, read, session
from engine.web.sessions import require
from engine.web.streams import Emit, EventStream


@bounded(seconds=math.inf)
@require()
async def news(request: Request) -> Response:
    """``changed``: the mailboxes by Box.id; an empty list: any may have."""
    desk = desk_of(request)
    me = session(request).account.id
    boxes = await desk.boxes(request)
    shared = [box for box in await read(boxes.all) if box.account != me]
    desk_news = desk.context.news

    async def produce(emit: Emit) -> None:
        with desk_news.watching(me) as watch:
            for box in shared:
                desk_news.follow(watch, box.account, box.number)
            try:
                while True:
                    changed = await watch.wait()
                    numbers = [number for number in changed if number] if changed is not None else []
                    await emit("changed", [mailbox_id(me, number) for number in numbers])
            finally:
                for box in shared:
                    desk_news.unfollow(watch, box.account, box.number)

    return EventStream(request, produce)
