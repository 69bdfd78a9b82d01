"""Take header fields off outgoing mail that tell what nobody outside needs to know: addresses of clients, programs.

    [lane.remote]
    stages = ["private_headers", "sign", "resolve", "relay"]

    [stage.private_headers]
    use = "filters/private_headers.py"
    when = "session.trusted"     # mail that begins here, not what is forwarded

Stands behind `queue`, before `sign`. Received has the addresses by which the mail came to us. Servers count them to
notice loops: leave them where mail may come back.
"""

from engine import Message, Verdict

FIELDS = ("Received", "X-Originating-IP", "X-Originating-Client", "User-Agent", "X-Mailer", "X-PHP-Originating-Script")


async def private_headers(message: Message, *, fields: tuple[str, ...] = FIELDS) -> Verdict:
    for name in fields:
        message = message.without_fields(name, lambda _: True)
    return message
