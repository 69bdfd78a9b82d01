"""Reports as programs write them, in their forms, about invented mail."""

from email.base64mime import body_encode

RETURNED = "Message-ID: <1@example.org>\nSubject: Hello\n"


def mime(text: str, status: str, returned: str = RETURNED, **kinds: str) -> bytes:
    """A report in three parts."""
    status_kind = kinds.get("status_kind", "message/delivery-status")
    returned_kind = kinds.get("returned_kind", "text/rfc822-headers")
    lines = (
        "From: MAILER-DAEMON@mx.example.net\nTo: news@example.org\nSubject: failure notice\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        f"--b\n\n{text}\n--b\nContent-Type: {status_kind}\n{kinds.get('encoding', '')}\n{status}\n"
        f"--b\nContent-Type: {returned_kind}\n\n{returned}\n--b--\n"
    )
    return lines.replace("\n", "\r\n").encode()


def plain(text: str, header: str = "") -> bytes:
    head = f"From: MAILER-DAEMON@mx.example.net\nTo: news@example.org\n{header}Subject: failure notice\n\n"
    return (head + text).replace("\n", "\r\n").encode()


POSTFIX = mime(
    "This is the mail system at host mx.example.net.",
    """Reporting-MTA: dns; mx.example.net
Original-Envelope-Id: QQ+314
X-Postfix-Queue-ID: 4BxYzN1qJlz1
X-Postfix-Sender: rfc822; news@example.org
Arrival-Date: Sun, 29 Nov 2026 05:20:33 +0000 (UTC)

Final-Recipient: rfc822; bob@far.example
Original-Recipient: rfc822;Robert@far.example
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.far.example
Diagnostic-Code: smtp; 550 5.1.1 <bob@far.example>: Recipient address rejected:
    User unknown in local recipient table

Final-Recipient: rfc822; eve@far.example
Action: delayed
Status: 4.2.2
Diagnostic-Code: smtp; 452 4.2.2 full
""",
)

EXCHANGE_ONLINE = mime(
    "Your message to bob@far.example couldn't be delivered.",
    """Reporting-MTA: dns;AM0PR01MB1234.eurprd01.prod.exchangelabs.com
Received-From-MTA: dns;mx.example.org
Arrival-Date: Sun, 29 Nov 2026 05:20:33 +0000

Final-Recipient: rfc822;bob@far.example
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient bob@far.example not found
X-Display-Name: bob@far.example
""",
    returned_kind="message/rfc822",
)

INTERNATIONAL = mime(
    "Unzustellbar.",
    """Reporting-MTA: dns; mx.example.net

Original-Recipient: utf-8; J\\x{FC}rgen@far.example
Final-Recipient: utf-8; jürgen@far.example
Action: failed
Status: 5.1.1
""",
    status_kind="message/global-delivery-status",
    returned_kind="message/global-headers",
)

ENCODED = mime(
    "Some encode even this part.",
    body_encode(b"Reporting-MTA: dns; mx.example.net\n\nFinal-Recipient: rfc822; bob@far.example\nAction: failed\n"),
    encoding="Content-Transfer-Encoding: base64\n",
)

CARELESS = mime(
    "No line between the groups, comments, no type, and no code but in the diagnostic.",
    """Reporting-MTA: dns; mx.example.net
Final-Recipient: <bob@far.example>
Action: Failed (bounced)
Diagnostic-Code: smtp; 550 no such user (really)
""",
)

OPENSMTPD = mime(
    """    Hi!

    This is the MAILER-DAEMON, please DO NOT REPLY to this email.

bob@far.example: 550 5.1.1 <bob@far.example>: no such user here

    Below is a copy of the original message:
""",
    """Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; bob@far.example
Action: failed
Status: 5.0.0
""",
)

QMAIL = plain(
    """Hi. This is the qmail-send program at mx.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<bob@far.example>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 unknown user
Giving up on 192.0.2.1.

<eve@other.example>:
Sorry, I couldn't find any host named other.example. (#5.1.2)

--- Below this line is a copy of the message.

Return-Path: <news@example.org>
Message-ID: <1@example.org>
Subject: <not@this.example>:
"""
)

POSTFIX_TEXT = plain(
    """This is the mail system at host mx.example.net.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

<bob@far.example> (expanded from <all@example.net>): host mx.far.example[192.0.2.1]
    said: 550 5.1.1 no such user (in reply to RCPT TO command)
"""
)

EXIM = plain(
    """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  bob@far.example
    host mx.far.example [192.0.2.1]
    SMTP error from remote mail server after RCPT TO:<bob@far.example>:
    550 5.1.1 unknown user
  eve@other.example
    (generated from all@example.net)
    Unrouteable address

------ This is a copy of the message, including all the headers. ------

Return-path: <news@example.org>
Message-ID: <1@example.org>
""",
    "X-Failed-Recipients: bob@far.example\n",
)

EXIM_LATE = plain(
    """This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on mx.example.net.

The message identifier is:     1mABCd-0001aB-2c

The address to which the message has not yet been delivered is:

  bob@far.example
    Delay reason: connection timed out

No action is required on your part. Delivery attempts will continue for
some time, and this warning may be repeated at intervals if the message
remains undelivered.
"""
)

EXCHANGE = plain(
    """Delivery has failed to these recipients or groups:

bob@far.example
The e-mail address you entered couldn't be found.

Diagnostic information for administrators:

Generating server: mail.far.example

bob@far.example
#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##rfc822;bob@far.example

Original message headers:

Message-ID: <1@example.org>
"""
)

SENDMAIL = plain(
    """The original message was received at Sun, 29 Nov 2026 05:20:33 GMT
from mx.example.org [192.0.2.7]

   ----- The following addresses had permanent fatal errors -----
<bob@far.example>
    (reason: 550 5.1.1 <bob@far.example>... User unknown)

   ----- Transcript of session follows -----
... while talking to mx.far.example.:
>>> DATA
<<< 550 5.1.1 <bob@far.example>... User unknown
"""
)

HINT = plain(
    """Delivery to the following recipient failed permanently:

     bob@far.example

Technical details of permanent failure:
The error that the other server returned was: 550 5.1.1 No such user
""",
    "X-Failed-Recipients: bob@far.example\n",
)
