"""The form of each command and test: what it takes, and which extension brings it. One row each."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

EXTENSIONS = frozenset(
    {
        "body",
        "comparator-i;ascii-casemap",
        "comparator-i;ascii-numeric",
        "comparator-i;octet",
        "comparator-i;unicode-casemap",
        "copy",
        "date",
        "duplicate",
        "editheader",
        "encoded-character",
        "enotify",
        "envelope",
        "environment",
        "ereject",
        "fileinto",
        "ihave",
        "imap4flags",
        "include",
        "index",
        "mailbox",
        "mailboxid",
        "regex",
        "reject",
        "relational",
        "spamtest",
        "spamtestplus",
        "special-use",
        "subaddress",
        "vacation",
        "vacation-seconds",
        "variables",
        "virustest",
    }
)
"""What ``require`` may name."""

IMPLIED = {"vacation-seconds": "vacation", "spamtestplus": "spamtest"}
"""Extensions that bring another along (RFC 6131 2, RFC 5235 2.3)."""


class Takes(enum.Enum):
    NOTHING = "nothing"
    NUMBER = "a number"
    STRING = "a string"
    STRINGS = "a string or a list of strings"


class Tests(enum.Enum):
    NONE = "no test"
    ONE = "one test"
    SEVERAL = "a list of tests"


@dataclass(frozen=True, slots=True)
class Option:
    """A tag: what follows it, its extension, and the group of which only one may be given."""

    takes: Takes = Takes.NOTHING
    needs: str = ""
    group: str = ""
    with_tag: str = ""  # without which it has no meaning


@dataclass(frozen=True, slots=True)
class Form:
    """A command or a test.

    Of ``takes``, the first ``optional`` may be left out; the last ones, where it is below 0. ``needs``: its extension,
    "" for one of the base.
    """

    takes: tuple[Takes, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    needs: str = ""
    optional: int = 0
    tests: Tests = Tests.NONE
    block: bool = False


NUMBER, STRING, STRINGS = Takes.NUMBER, Takes.STRING, Takes.STRINGS

MATCH = {
    "is": Option(group="match"),
    "contains": Option(group="match"),
    "matches": Option(group="match"),
    "regex": Option(needs="regex", group="match"),
    "value": Option(STRING, needs="relational", group="match"),
    "count": Option(STRING, needs="relational", group="match"),
    "comparator": Option(STRING),
}
PART = {
    "all": Option(group="part"),
    "localpart": Option(group="part"),
    "domain": Option(group="part"),
    "user": Option(needs="subaddress", group="part"),
    "detail": Option(needs="subaddress", group="part"),
}
INDEX = {"index": Option(NUMBER, needs="index"), "last": Option(needs="index", with_tag="index")}
ZONE = {"zone": Option(STRING, group="whose")}
FLAGS = {"flags": Option(STRINGS, needs="imap4flags")}
COPY = {"copy": Option(needs="copy")}

COMMANDS: Mapping[str, Form] = {
    "require": Form((STRINGS,)),
    "if": Form(tests=Tests.ONE, block=True),
    "elsif": Form(tests=Tests.ONE, block=True),
    "else": Form(block=True),
    "stop": Form(),
    "keep": Form(options=FLAGS),
    "discard": Form(),
    "redirect": Form((STRING,), COPY),
    "fileinto": Form(
        (STRING,),
        COPY
        | FLAGS
        | {
            "create": Option(needs="mailbox"),
            "mailboxid": Option(STRING, needs="mailboxid"),
            "specialuse": Option(STRING, needs="special-use"),
        },
        needs="fileinto",
    ),
    "reject": Form((STRING,), needs="reject"),
    "ereject": Form((STRING,), needs="ereject"),
    "set": Form(
        (STRING, STRING),
        {
            "lower": Option(group="precedence 40"),
            "upper": Option(group="precedence 40"),
            "lowerfirst": Option(group="precedence 30"),
            "upperfirst": Option(group="precedence 30"),
            "quotewildcard": Option(group="precedence 20"),
            "quoteregex": Option(needs="regex", group="precedence 20"),
            "encodeurl": Option(needs="enotify"),
            "length": Option(),
        },
        needs="variables",
    ),
    "setflag": Form((STRING, STRINGS), needs="imap4flags", optional=1),
    "addflag": Form((STRING, STRINGS), needs="imap4flags", optional=1),
    "removeflag": Form((STRING, STRINGS), needs="imap4flags", optional=1),
    "vacation": Form(
        (STRING,),
        {
            "days": Option(NUMBER, group="time"),
            "seconds": Option(NUMBER, needs="vacation-seconds", group="time"),
            "subject": Option(STRING),
            "from": Option(STRING),
            "addresses": Option(STRINGS),
            "mime": Option(),
            "handle": Option(STRING),
        },
        needs="vacation",
    ),
    "addheader": Form((STRING, STRING), {"last": Option()}, needs="editheader"),
    "deleteheader": Form(
        (STRING, STRINGS),
        MATCH | {"index": Option(NUMBER), "last": Option(with_tag="index")},
        needs="editheader",
        optional=-1,
    ),
    "include": Form(
        (STRING,),
        {
            "personal": Option(group="location"),
            "global": Option(group="location"),
            "once": Option(),
            "optional": Option(),
        },
        needs="include",
    ),
    "return": Form(needs="include"),
    "global": Form((STRINGS,), needs="include"),
    "error": Form((STRING,), needs="ihave"),
    "notify": Form(
        (STRING,),
        {
            "from": Option(STRING),
            "importance": Option(STRING),
            "options": Option(STRINGS),
            "message": Option(STRING),
        },
        needs="enotify",
    ),
}

TESTS: Mapping[str, Form] = {
    "true": Form(),
    "false": Form(),
    "not": Form(tests=Tests.ONE),
    "allof": Form(tests=Tests.SEVERAL),
    "anyof": Form(tests=Tests.SEVERAL),
    "exists": Form((STRINGS,)),
    "size": Form((NUMBER,), {"over": Option(group="side"), "under": Option(group="side")}),
    "header": Form((STRINGS, STRINGS), MATCH | INDEX),
    "address": Form((STRINGS, STRINGS), MATCH | PART | INDEX),
    "envelope": Form((STRINGS, STRINGS), MATCH | PART, needs="envelope"),
    "body": Form(
        (STRINGS,),
        MATCH
        | {
            "raw": Option(group="transform"),
            "content": Option(STRINGS, group="transform"),
            "text": Option(group="transform"),
        },
        needs="body",
    ),
    "string": Form((STRINGS, STRINGS), MATCH, needs="variables"),
    "hasflag": Form((STRINGS, STRINGS), MATCH, needs="imap4flags", optional=1),
    "date": Form(
        (STRING, STRING, STRINGS), MATCH | INDEX | ZONE | {"originalzone": Option(group="whose")}, needs="date"
    ),
    "currentdate": Form((STRING, STRINGS), MATCH | ZONE, needs="date"),
    "mailboxexists": Form((STRINGS,), needs="mailbox"),
    "mailboxidexists": Form((STRINGS,), needs="mailboxid"),
    "specialuse_exists": Form((STRING, STRINGS), needs="special-use", optional=1),
    "duplicate": Form(
        (),
        {
            "handle": Option(STRING),
            "header": Option(STRING, group="what"),
            "uniqueid": Option(STRING, group="what"),
            "seconds": Option(NUMBER),
            "last": Option(),
        },
        needs="duplicate",
    ),
    "environment": Form((STRING, STRINGS), MATCH, needs="environment"),
    "ihave": Form((STRINGS,), needs="ihave"),
    "valid_notify_method": Form((STRINGS,), needs="enotify"),
    "notify_method_capability": Form((STRING, STRING, STRINGS), MATCH, needs="enotify"),
    "spamtest": Form((STRING,), MATCH | {"percent": Option(needs="spamtestplus")}, needs="spamtest"),
    "virustest": Form((STRING,), MATCH, needs="virustest"),
}
