"""Letters and envelopes as they come by the thousand: what every benchmark works on."""

from engine import Envelope, Message, MessageId, Recipient
from engine.message import Content, Fact, Octets, Session

KIB = 1024

_HEADER = b"""\
Received: from mail.sender.test (mail.sender.test [192.0.2.25])
 by mx.rcpt.test (Postroad) with ESMTPS id 01J8ZQ5V7Y2B3C4D5E6F7G8H9J;
 Tue, 14 Oct 2025 09:26:53 +0000
Received: from [198.51.100.7] by mail.sender.test with ESMTPSA;
 Tue, 14 Oct 2025 09:26:52 +0000
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=sender.test; s=2025;
 h=from:to:subject:date:message-id; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;
 b=Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFy
 YmF6cXV4Zm9vYmFyYmF6cXV4
From: Ada Sender <ada@sender.test>
To: Bob Receiver <bob@rcpt.test>
Cc: Carol Receiver <carol@rcpt.test>, Dave Receiver <dave@rcpt.test>
Message-ID: <20251014092652.4711@sender.test>
In-Reply-To: <20251013184205.1147@rcpt.test>
References: <20251013120000.1@rcpt.test> <20251013184205.1147@rcpt.test>
Date: Tue, 14 Oct 2025 11:26:51 +0200
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from the coast
User-Agent: A mail program
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit
X-Mailer-Version: 12.7

""".replace(b"\n", b"\r\n")

_LINE = b"The quick brown fox jumps over the lazy dog, and then it jumps back again.\r\n"


def letter(size: int, *, line: bytes = _LINE) -> bytes:
    """A letter of exactly ``size`` octets, with a header section of some twenty fields, in lines that end in CRLF."""
    octets = _HEADER + line * (size // len(line))
    return octets[: size - 2] + b"\r\n"


def addresses(count: int) -> tuple[str, ...]:
    """So many recipients, over a dozen domains."""
    return tuple(f"receiver.{number}@site-{number % 12}.rcpt.test" for number in range(count))


def message(recipients: int = 1, content: Content | None = None, *, arrived: float = 1_760_000_000.0) -> Message:
    """A message as it comes out of the stages before the queue; of 4 KiB unless ``content`` says other."""
    session = Session("192.0.2.25", "mail.sender.test", "ESMTPS", "TLSv1.3 TLS_AES_256_GCM_SHA384")
    facts: dict[str, Fact] = {
        "spf.result": "pass",
        "dkim.domains": ["sender.test"],
        "dmarc.result": "pass",
        "scan.score": 1.5,
    }
    envelope = Envelope(
        "ada@sender.test",
        tuple(Recipient(address, lane="relay") for address in addresses(recipients)),
        session=session,
        facts=facts,
        prepended=b"Received: from mail.sender.test by mx.rcpt.test; Tue, 14 Oct 2025 09:26:53 +0000\r\n",
        arrived=arrived,
        body="8BITMIME",
    )
    return Message(MessageId.new(arrived), envelope, content or Octets(letter(4 * KIB)))
