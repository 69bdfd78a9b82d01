"""Where inbound mail comes from: a domain that has all that a sender should have, and a DNS server that says so."""

import base64
import contextlib
import functools
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message
import trio
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench import Failed, usage
from bench.servers.base import HOST, SOURCE, absent, program, written
from engine.authentication.dkim import sign
from engine.authentication.fields import split_message
from engine.authentication.signer import Signer

SENDER = f"sender@{SOURCE}"

RESOLVER = f"127.53.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
"""Where this process's DNS server listens, on the port of the DNS: resolv.conf(5) can name no other port."""

_PATIENCE = 20.0
"""Seconds until it must answer."""

_LINE = b"The quick brown fox jumps over the lazy dog, and then it jumps back again.\r\n"

# Nothing is asked of anybody else: what is not written here does not exist.
_CONFIG = """\
server:
  interface: {resolver}
  port: 53
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  num-threads: 1
  module-config: "iterator"
  do-not-query-localhost: no
  local-zone: "." static
{records}
remote-control:
  control-enable: no
"""


def missing() -> str | None:
    """What inbound mail cannot do without."""
    if os.geteuid():
        return "the DNS server listens on port 53: start the benchmarks as root"
    return absent(("unbound",), "unbound")


def letter(size: int) -> bytes:
    """A letter of so many octets with lines that end in CRLF, signed by DKIM (RSA, 2048 bits)."""
    head = f"From: Ann <{SENDER}>\r\nTo: You <you@bench.test>\r\nSubject: A message\r\nMessage-ID: <1@{SOURCE}>\r\n"
    head += "Date: Sat, 28 Nov 2026 12:00:00 +0000\r\n\r\n"
    room = max(size - len(head) - len(_signed(head.encode())), 0)
    body = (_LINE * (room // len(_LINE) + 1))[: max(room - 2, 0)] + b"\r\n"
    return _signed(head.encode() + body) + head.encode() + body


def _signed(octets: bytes) -> bytes:
    """The field that signs a message."""
    fields, body = split_message([octets])
    return sign(fields, body, [Signer(SOURCE, "s1", _key())], time.time())


@functools.cache
def _key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def _records() -> list[str]:
    key = base64.b64encode(_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    texts = {
        SOURCE: f"v=spf1 ip4:{HOST} -all",
        f"s1._domainkey.{SOURCE}": f"v=DKIM1; k=rsa; p={key}",
        f"_dmarc.{SOURCE}": "v=DMARC1; p=reject",
    }
    return [
        *(f"{name}. 300 IN TXT {' '.join(_strings(text))}" for name, text in texts.items()),
        f"{SOURCE}. 300 IN MX 10 client.{SOURCE}.",
        f"{SOURCE}. 300 IN A {HOST}",
        f"client.{SOURCE}. 300 IN A {HOST}",
        f"1.0.0.127.in-addr.arpa. 300 IN PTR client.{SOURCE}.",
    ]


def _strings(text: str) -> list[str]:
    return [f'"{text[start : start + 255]}"' for start in range(0, len(text), 255)]


@asynccontextmanager
async def resolver(folder: Path) -> AsyncIterator[str]:
    """unbound, which knows the domain and nothing else: the address that it listens on, port 53. Failed."""
    records = "".join(f"  local-data: '{record}'\n" for record in _records())
    config = written(folder / "unbound.conf", _CONFIG.format(resolver=RESOLVER, folder=folder, records=records))
    log = folder / "unbound.log"
    async with usage.opened("unbound") as group:
        with log.open("wb") as writing:
            await group.open([program("unbound") or "unbound", "-dpc", str(config)], stdout=writing, stderr=writing)
        await _answering(log)
        yield RESOLVER


async def _answering(log: Path) -> None:
    question = dns.message.make_query(SOURCE, "MX")
    with trio.move_on_after(_PATIENCE):
        while True:
            with contextlib.suppress(OSError, dns.exception.DNSException):
                await dns.asyncquery.udp(question, RESOLVER, timeout=0.2)
                return
            await trio.sleep(0.05)
    raise Failed(f"unbound does not answer on {RESOLVER}: {log.read_text(errors='replace').strip()[-500:]}")
