"""Send a copy of what some people write to customers to another address, such as that of a CRM: an automatic Bcc.

    [stage.copy_to_crm]
    use = "filters/copy_to_crm.py"
    people = ["ann@example.org", "bob@example.org"]
    to = "inbox@crm.example.com"

Stands before `queue`, where a message is seen once. Mail among colleagues is not copied.
"""

from engine import Each, Message, Route, Verdict, domain_of


async def copy_to_crm(message: Message, *, people: tuple[str, ...], to: str) -> Verdict:
    own, theirs = domain_of(message.sender), {address.lower() for address in people}
    outside = [address for address in message.recipients if domain_of(address) != own]
    has_it = to.lower() in map(str.lower, message.recipients)
    if message.sender.lower() not in theirs or has_it or not outside:
        return message
    return Each({outside[0]: (Route("", (outside[0],)), Route("", (to,), notify="NEVER"))})
