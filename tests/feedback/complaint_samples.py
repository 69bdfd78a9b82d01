"""Complaints as providers write them, in their forms, about invented mail."""

COPY = """Received: from mx.example.org (mx.example.org [192.0.2.1]) by mta.far.example with ESMTPS id 4Bx;
\tSat, 28 Nov 2026 05:20:33 +0000
Received: from client.example.org ([192.0.2.7])
\tby mx.example.org with ESMTPSA id 01KAV3Q6ZJ8N4R7T2W5X9Y0ABC;
\tSat, 28 Nov 2026 05:20:30 +0000
From: News <news@example.org>
To: {to}
Subject: The news
Message-ID: <1@example.org>
{more}
Hello.
"""


def copied(to: str = "Bob <bob@far.example>", more: str = "", **fields: str) -> str:
    """The message that is complained about; ``fields`` stand at its head."""
    head = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in fields.items())
    return head + COPY.format(to=to, more=more and more + "\n")


def arf(machine: str, copy: str = "", *, kind: str = "message/rfc822", head: str = "") -> bytes:
    """By RFC 5965, in three parts."""
    text = (
        f"From: feedback@far.example\nTo: fbl@example.org\nSubject: FW: The news\n{head}MIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\n\n'
        "--b\nContent-Type: text/plain\n\nThis is an email abuse report.\n"
        f"\n--b\nContent-Type: message/feedback-report\n\n{machine}\n"
        f"--b\nContent-Type: {kind}\n\n{copy or copied()}\n--b--\n"
    )
    return text.replace("\n", "\r\n").encode()


def attached(copy: str, head: str, subject: str = "complaint about message from 192.0.2.1") -> bytes:
    """A message that brings another one along."""
    text = (
        f"{head}\nTo: fbl@example.org\nSubject: {subject}\nMIME-Version: 1.0\n"
        f'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: message/rfc822\n\n{copy}\n--b--\n'
    )
    return text.replace("\n", "\r\n").encode()


RFC_5965 = b"""From: <abusedesk@example.com>
Date: Thu, 8 Mar 2005 17:40:36 EDT
Subject: FW: Earn money
To: <abuse@example.net>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report;
     boundary="part1_13d.2e68ed54_boundary"

--part1_13d.2e68ed54_boundary
Content-Type: text/plain; charset="US-ASCII"
Content-Transfer-Encoding: 7bit

This is an email abuse report for an email message
received from IP 192.0.2.1 on Thu, 8 Mar 2005 14:00:00 EDT.
For more information about this format please see
http://www.mipassoc.org/arf/.

--part1_13d.2e68ed54_boundary
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <somespammer@example.net>
Original-Rcpt-To: <user@example.com>
Arrival-Date: Thu, 8 Mar 2005 14:00:00 EDT
Reporting-MTA: dns; mail.example.com
Source-IP: 192.0.2.1
Authentication-Results: mail.example.com;
               spf=fail smtp.mail=somespammer@example.com
Reported-Domain: example.net
Reported-Uri: http://example.net/earn_money.html
Reported-Uri: mailto:user@example.com
Removal-Recipient: user@example.com

--part1_13d.2e68ed54_boundary
Content-Type: message/rfc822
Content-Disposition: inline

From: <somespammer@example.net>
Received: from mailserver.example.net (mailserver.example.net
        [192.0.2.1]) by example.com with ESMTP id M63d4137594e46;
        Thu, 08 Mar 2005 14:00:00 -0400

To: <Undisclosed Recipients>
Subject: Earn money
MIME-Version: 1.0
Content-type: text/plain
Message-ID: 8787KJKJ3K4J3K4J3K4J3.mail@example.net
Date: Thu, 02 Sep 2004 12:31:03 -0500

Spam Spam Spam
--part1_13d.2e68ed54_boundary--
"""
"""RFC 5965, Appendix B.2."""

YAHOO = arf(
    """Feedback-Type: abuse
User-Agent: Yahoo!-Mail-Feedback/2.0
Version: 0.1
Original-Mail-From: <news@example.org>
Original-Rcpt-To: bob@far.example
Received-Date: Sat, 28 Nov 2026 05:20:33 +0000
Reported-Domain: example.org
Authentication-Results: authentication result string is not available
"""
)
AOL = arf(
    """Feedback-Type: abuse
User-Agent: AOL SComp
Version: 0.1
Received-Date: Sat, 28 Nov 2026 05:20:33 -0500 (EST)
Source-IP: 192.0.2.1
Reported-Domain: example.org
Redacted-Address: redacted
Redacted-Address: redacted@
""",
    copied("redacted@far.example"),
    head="X-Loop: scomp\n",
)
VALIDITY = arf(
    """Original-Rcpt-To: ca2b45ef141c63af66829a2f346c832b@far.example
Source-Ip: 192.0.2.1
Feedback-Type: abuse
User-Agent: ReturnPathFBL/2.0
Original-Mail-From: news@example.org
Reported-Domain: example.org
Source: Far
Abuse-Type: complaint
Subscription-Link: https://fbl.example/manage/1
Version: 1
Arrival-Date: Sat, 28 Nov 2026 05:20:33 +0000
""",
    copied("<ca2b45ef141c63af66829a2f346c832b@far.example>"),
)
"""As Validity (once Return Path) writes for many providers: recipients are hashes (RFC 6590)."""

COMCAST = arf(
    """Feedback-Type: abuse
User-Agent: Far Feedback Loop 1.0
Version: 1
Original-Mail-From: <news@example.org>
Original-Rcpt-To: <>
Incidents: 3
Source-IP: 2001:db8::1
Reporting-MTA: dns; mx.far.example
""",
    copied("undisclosed-recipients:;"),
    kind="text/rfc822-headers",
)
OUTLOOK = attached(copied(X_HmXmrOriginalRecipient="<Bob@Far.Example>"), "From: <staff@hotmail.com>")
"""JMRP: no report, but the message with a field on top."""

OUTLOOK_BARE = copied(X_HmXmrOriginalRecipient="bob@far.example").replace("\n", "\r\n").encode()
SCOMP = attached(copied(), "From: scomp@far.example\nX-Loop: scomp", "Client TOS Notification")
NOT_SPAM = arf("Feedback-Type: not-spam\nUser-Agent: x\nVersion: 1\nOriginal-Rcpt-To: <bob@far.example>\n")
OPT_OUT = arf("Feedback-Type: opt-out\nUser-Agent: x\nVersion: 1\nRemoval-Recipient: bob@far.example\n")
DMARC_FAILURE = arf(
    "Feedback-Type: auth-failure\nVersion: 1\nUser-Agent: x\nAuth-Failure: dmarc\nReported-Domain: example.org\n"
)
ENCODED = arf(
    "Feedback-Type: abuse\nUser-Agent: x\nVersion: 1\n",
    "RnJvbTogTmV3cyA8bmV3c0BleGFtcGxlLm9yZz4NClRvOiBib2JAZmFyLmV4YW1wbGUNCk1lc3NhZ2UtSUQ6IDwxQGV4YW1wbGUub3JnPg0KDQpIZWxs\nby4NCg==\n",
    kind="message/rfc822\nContent-Transfer-Encoding: base64",
)
"""Against RFC 2046 5.2.1, which some do not know."""
