"""Scripts that are run on letters, and what they want in short words."""

from dataclasses import dataclass, field
from typing import Any

from engine.sieve import (
    Action,
    Alone,
    Discard,
    FileInto,
    Keep,
    Limits,
    Notify,
    Octets,
    Outcome,
    Redirect,
    Reject,
    Reply,
    compile_script,
    execute,
)

SENDER, RECIPIENT = "coyote@desert.example.org", "roadrunner+fast@acme.example.com"

LETTER = b"""\
Received: from b.example.org by c.example.org; Tue, 2 Jan 2024 11:00:00 +0100
Received: from a.example.org by b.example.org; Tue, 2 Jan 2024 10:00:00 +0000
From: "Wile E." <coyote@desert.example.org>
To: roadrunner@acme.example.com, Bip <bip+zoom@acme.example.com>
Cc: coyote@desert.example.org
Subject: [acme-users] I have a present for you
Date: Mon, 1 Jan 2024 23:30:00 -0500
X-Priority: 3
X-Numbers: 12
X-Empty:
X-Encoded: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
Message-ID: <one@desert.example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

preamble words
--x
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Look, I'm sorry about the whole anvil thing. Gr=C3=BC=C3=9Fe.
--x
Content-Type: text/html

<html><style>p {color: red}</style><b>Free</b> birdseed &amp; more</html>
--x
Content-Type: application/x-anvil; name=anvil.bin
Content-Transfer-Encoding: base64

QW52aWwgYnkgQWNtZQ==
--x
Content-Type: message/rfc822

From: inner@example.org
Subject: inner subject

inner body
--x--
""".replace(b"\n", b"\r\n")


def outcome(script: str, letter: bytes = LETTER, limits: Limits | None = None, **world: Any) -> Outcome:
    limits = limits or Limits()
    known = {"sender": SENDER, "recipient": RECIPIENT, "addresses": ("roadrunner@acme.example.com",)} | world
    return execute(compile_script(script.encode(), limits), Octets(letter), Alone(**known), limits)


def short(found: Outcome) -> list[str]:
    """The actions, a line each; "error" and nothing else for a run that was stopped."""
    if found.error:
        assert found.actions == (Keep(),)
        return ["error"]
    return [_short(action) for action in found.actions]


def _short(action: Action) -> str:
    match action:
        case Keep(flags):
            return " ".join(["keep", *flags])
        case FileInto(folder, flags):
            return " ".join(["keep" if folder == "INBOX" else f"fileinto {folder}", *flags])
        case Redirect(address):
            return f"redirect {address}"
        case Discard():
            return "discard"
        case Reject(reason):
            return f"reject {reason.strip()}"
        case Reply(recipient):
            return f"reply {recipient}"
        case Notify(recipients):
            return f"notify {' '.join(recipients)}"


@dataclass(frozen=True)
class Case:
    """A script, and what it wants done with a letter."""

    name: str
    script: str
    wanted: list[str]
    letter: bytes = LETTER
    world: dict[str, Any] = field(default_factory=dict)
    elsewhere: bool = True  # whether Dovecot is to agree
