"""Write `root@web1.example.org` as `root@example.org`, in the envelope and in From: names of machines stay inside.

    [stage.masquerade]
    use = "filters/masquerade.py"
    domains = ["example.org"]
    when = "session.trusted"

Stands before `queue`, so that bounces come back to the new address.
"""

import re

from engine import Message, Verdict

FROM = re.compile(rb"^From[ \t]*:.*(?:\r\n[ \t].*)*\r\n", re.IGNORECASE | re.MULTILINE)
"""The whole field as it stands: names in it may be encoded."""


async def masquerade(message: Message, *, domains: tuple[str, ...]) -> Verdict:
    hosts = rf"@(?:[a-z0-9-]+\.)+({'|'.join(map(re.escape, domains))})(?![a-z0-9.-])"
    sender = re.sub(hosts, r"@\1", message.sender, flags=re.IGNORECASE)
    if sender != message.sender:
        message = message.with_sender(sender)
    author = FROM.search(message.header_octets())
    new = re.sub(hosts.encode(), rb"@\1", author[0], flags=re.IGNORECASE) if author else b""
    return message.without_fields("From", lambda _: True).with_field(new) if author and new != author[0] else message
