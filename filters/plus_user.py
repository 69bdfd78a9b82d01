"""Give mail for `team+anna@example.org` to `anna@example.org`.

    [stage.plus_user]
    use = "filters/plus_user.py"
    teams = ["team@example.org", "sales@example.org"]

Stands before `route`, which then finds the account. For folders of one's own, `user+folder` and a Sieve script need no
filter (docs/pipeline.md, `subaddress`).
"""

from engine import Each, Message, Route, Verdict


async def plus_user(message: Message, *, teams: tuple[str, ...]) -> Verdict:
    found, names = {}, {address.lower() for address in teams}
    for address in message.recipients:
        local, _, domain = address.rpartition("@")
        team, plus, user = local.partition("+")
        if plus and user and f"{team}@{domain}".lower() in names:
            found[address] = Route("", (f"{user}@{domain}",))
    return Each(found) if found else message
