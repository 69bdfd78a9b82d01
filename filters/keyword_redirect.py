"""Send mail for one address elsewhere when its subject has one of some words.

    [stage.keyword_redirect]
    use = "filters/keyword_redirect.py"
    recipient = "support@example.org"
    words = ["invoice", "payment"]
    to = "billing@example.org"

Stands before `route`, which then finds the account.
"""

from engine import Each, Message, Route, Verdict


async def keyword_redirect(message: Message, *, recipient: str, words: tuple[str, ...], to: str) -> Verdict:
    subject = (message.header("Subject") or "").lower()
    if not any(word.lower() in subject for word in words):
        return message
    theirs = [address for address in message.recipients if address.lower() == recipient.lower()]
    return Each(dict.fromkeys(theirs, Route("", (to,)))) if theirs else message
