"""Send a copy of all mail from and to a domain to an archive. Neither sender nor recipients notice.

    [stage.journal]
    use = "filters/journal.py"
    domain = "example.org"
    archive = "journal@archive.example.org"

Stands before `queue`: there a message is seen once. The copy waits and is tried like all mail.
"""

from engine import Each, Message, Route, Verdict, domain_of


async def journal(message: Message, *, domain: str, archive: str) -> Verdict:
    addresses = (message.sender, *message.recipients)
    if archive.lower() in map(str.lower, addresses) or domain.lower() not in map(domain_of, addresses):
        return message
    first = message.recipients[0]
    return Each({first: (Route("", (first,)), Route("", (archive,), notify="NEVER"))})
