"""Webmail: mailboxes read, mail written and sent in a browser.

`reading`, `acting`, `news`, `drafts` and `sending` answer requests; `boxes`, `listing`, `finding` and `opened` read the
store as IMAP's readers do; `cleaning`, `styles`, `frame`, `passes` and `pictures` make letters harmless. `addressbook`,
`contacts`, `people` and `vcard` know whom one writes to; `ways` and `travelling` say how a letter would travel there.
"""

from collections.abc import Sequence

from starlette.routing import BaseRoute, Route

from engine.web.context import Context
from engine.web.mail import (
    acting,
    addressbook,
    filtering,
    labelling,
    news,
    preferring,
    quitting,
    reading,
    sending,
    travelling,
)
from engine.web.mail.desk import Desk


def routes(context: Context) -> Sequence[BaseRoute]:
    """All that is at ``/mail/``."""
    desk = context.one(Desk)
    context.tasks += [desk.teaching.run, desk.tend]
    context.closing.append(desk.close)
    box, message = "{box}", "{box}/{uid}"
    return [
        Route("/mail", reading.window, methods=["GET"]),
        Route("/mail/", reading.window, methods=["GET"]),
        Route("/mail/folders", reading.folders, methods=["GET"]),
        Route("/mail/boxes", acting.name, methods=["POST", "DELETE"]),
        Route(f"/mail/list/{box}", reading.listed, methods=["GET"]),
        Route(f"/mail/everything/{box}", reading.everything, methods=["GET"]),
        Route(f"/mail/message/{message}", reading.message, methods=["GET"]),
        Route(f"/mail/body/{message}", reading.body, methods=["GET"]),
        Route(f"/mail/part/{message}/{{section}}", reading.part, methods=["GET"]),
        Route(f"/mail/source/{message}", reading.source, methods=["GET"]),
        Route(f"/mail/leave/{message}", quitting.leave, methods=["POST"]),
        Route("/mail/seen/{pass}", reading.seen, methods=["GET"]),
        Route("/mail/act", acting.act, methods=["POST"]),
        Route("/mail/news", news.news, methods=["GET"]),
        Route("/mail/people", addressbook.completed, methods=["GET"]),
        Route("/mail/ways", travelling.ways, methods=["GET"]),
        Route("/mail/contacts", addressbook.listed, methods=["GET"]),
        Route("/mail/contacts.vcf", addressbook.exported, methods=["GET"]),
        Route("/mail/contacts/import", addressbook.imported, methods=["POST"]),
        Route("/mail/contacts/remove", addressbook.removed, methods=["POST"]),
        Route("/mail/contacts/forget", addressbook.forgotten, methods=["POST"]),
        Route("/mail/contacts/live", addressbook.live, methods=["GET"]),
        Route("/mail/contacts/{id}", addressbook.shown, methods=["GET"]),
        Route("/mail/contacts/{id}", addressbook.kept, methods=["POST"]),
        Route("/mail/write", sending.write, methods=["GET"]),
        Route("/mail/draft", sending.draft, methods=["POST"]),
        Route("/mail/draft", sending.discard, methods=["DELETE"]),
        Route("/mail/upload", sending.upload, methods=["POST"]),
        Route("/mail/uploaded/{id}", sending.uploaded, methods=["GET"]),
        Route("/mail/send", sending.send, methods=["POST"]),
        Route("/mail/answer", sending.answer, methods=["POST"]),
        Route("/mail/unsend", sending.unsend, methods=["POST"]),
        Route("/mail/rules", filtering.shown, methods=["GET"]),
        Route("/mail/rules", filtering.kept, methods=["POST"]),
        Route("/mail/labels", labelling.shown, methods=["GET"]),
        Route("/mail/labels", labelling.kept, methods=["POST"]),
        Route("/mail/settings", preferring.shown, methods=["GET"]),
        Route("/mail/settings", preferring.kept, methods=["POST"]),
    ]
