"""What tokens of the admin API can be allowed, by name: of each part, to look or to change. One implies no other."""

from collections.abc import Mapping

SCOPES: Mapping[str, str] = {
    "queue:read": "See what is in the queue: envelopes, header sections, replies.",
    "queue:write": "Hold, release, retry, reroute, expire, return and delete messages in the queue.",
    "history:read": "See the whole way of messages, past or queued.",
    "revisions:read": "See the configurations that were in force, and what they say of paths and servers.",
    "revisions:write": "Check, preview and put in force configurations, go back, begin and end trials.",
    "abuse:read": "See bans, rates and suspected accounts.",
    "abuse:write": "Set and lift bans, lift rates and suspicions.",
    "shaping:read": "See how mail leaves for a destination, and the actions in force.",
    "shaping:write": "Suspend sites, and lift actions.",
    "measures:read": "See how links, stages, sites and workers do, and whether the server is ready.",
    "accounts:read": "See accounts, aliases, groups and quotas.",
    "accounts:write": "Add, change and remove accounts without a role, aliases, groups, quotas: become anybody else.",
    "domains:read": "See local domains, their DKIM keys, and certificates.",
    "domains:write": "Add and remove local domains, and the DKIM keys of domains.",
    "quarantine:read": "See parked mail.",
    "quarantine:write": "Release and delete parked mail, and teach the spam filter by it.",
    "suppressions:read": "See the suppression list.",
    "suppressions:write": "Add entries to the suppression list, and remove them.",
    "mailboxes:read": "See how much is in mailboxes and public folders, and who may do what there.",
    "mailboxes:write": "Share mailboxes and bring removed mail back, of accounts without a role; public folders.",
    "lists:read": "See who is allowed or blocked.",
    "lists:write": "Allow and block senders.",
    "oversight:read": "See the audit log, grants to look at people's mail, and legal holds.",
    "oversight:look": "Search people's mail by the open grants of the one auditor whom the token is made for.",
    "oversight:write": "Begin and lift legal holds of accounts, groups and domains.",
    "reports:read": "See what others report about mail in our name, and about TLS with us.",
}
"""Each with what it lets a token do."""
