"""The site with real mailboxes behind it, in this process."""

import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2

from engine.mailbox import MailboxOwner
from engine.mailbox.commands import Append, Appended, Begin
from engine.mailbox.views import mailbox_id
from tests.support.site import BASIC, Site, csrf, site_of

ANN, BOB = "ann@example.org", "bob@example.org"


class Mail:
    """Ann's browser, and the mailboxes."""

    def __init__(self, site: Site, owner: MailboxOwner) -> None:
        self.site = site
        self.owner = owner

    def id(self, address: str = ANN) -> int:
        account = self.site.directory.account(address)
        assert account is not None
        return account.id

    def box(self, name: str = "INBOX", address: str = ANN) -> str:
        folder = self.owner.reader.folder(self.id(address), name)
        assert folder is not None, name
        return mailbox_id(self.id(address), folder.number)

    def number(self, name: str = "INBOX", address: str = ANN) -> int:
        folder = self.owner.reader.folder(self.id(address), name)
        assert folder is not None
        return folder.number

    async def put(self, *messages: bytes | str, name: str = "INBOX", address: str = ANN, flags: int = 0) -> list[int]:
        """Put messages there; their UIDs."""
        octets = [one.encode() if isinstance(one, str) else one for one in messages]
        some = tuple(Appended(one.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), flags=flags) for one in octets)
        command = Append(account=self.id(address), mailbox=self.number(name, address), messages=some)
        return list((await self.owner.change(command)).uids)

    def uids(self, name: str = "INBOX", address: str = ANN) -> list[int]:
        view = self.owner.reader.select(self.id(address), self.number(name, address))
        return list(view.uids) if view is not None else []

    def flags(self, name: str = "INBOX") -> list[int]:
        view = self.owner.reader.select(self.id(), self.number(name))
        return list(view.flags) if view is not None else []

    def content(self, uid: int, name: str = "INBOX") -> bytes:
        return b"".join(self.owner.reader.chunks(self.id(), uid, self.number(name)))


class Browser:
    """Somebody who has signed in, with the token of the page."""

    def __init__(self, client: httpx2.AsyncClient, token: str) -> None:
        self.client = client
        self.token = token

    async def get(self, address: str, **headers: str) -> httpx2.Response:
        return await self.client.get(address, headers=headers)

    async def post(self, address: str, value: Any, method: str = "POST") -> httpx2.Response:
        headers = {"x-csrf-token": self.token, "accept": "application/json"}
        octets = value if isinstance(value, bytes) else json.dumps(value).encode()
        return await self.client.request(method, address, content=octets, headers=headers)


@contextlib.asynccontextmanager
async def mail_of(folder: Path, text: str = BASIC) -> AsyncIterator[Mail]:
    """Mailboxes of Ann and Bob."""
    async with site_of(folder, text) as site:
        for address in (ANN, BOB):
            site.account(address)
        owner = site.role.owner
        owner.tell = site.context.news.tell
        for address in (ANN, BOB):
            account = site.directory.account(address)
            assert account is not None
            await owner.change(Begin(account=account.id))
        yield Mail(site, owner)


async def browser(mail: Mail, address: str = ANN, **options: str) -> Browser:
    client = await mail.site.signed_in(address, **options)
    return Browser(client, csrf(await client.get("/mail/")))


def lines(html: str) -> list[tuple[str, str, str]]:
    """Box, UIDs and subject of each line of a list."""
    pattern = r'data-box="([^"]+)" data-uid="\d+" data-uids="([\d,]+)".*?<span class="subject">([^<]*)</span>'
    return re.findall(pattern, html, re.DOTALL)


def subjects(html: str) -> list[str]:
    return [subject for _, _, subject in lines(html)]


def letter(subject: str, text: str = "Hello", *, sender: str = "Carl <carl@elsewhere.test>", more: str = "") -> str:
    """A message of plain text."""
    return (
        f"From: {sender}\nTo: Ann <{ANN}>\nSubject: {subject}\nDate: Mon, 02 Nov 2026 10:00:00 +0000\n"
        f"Message-ID: <{subject.replace(' ', '-')}@elsewhere.test>\n{more}\n{text}\n"
    )


PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel."""

RICH = f"""From: Carl <carl@elsewhere.test>
To: Ann <{ANN}>, Dora <dora@elsewhere.test>
Cc: Emil <emil@elsewhere.test>
Subject: =?utf-8?q?Ch=C3=A0o?=
Date: Mon, 02 Nov 2026 10:00:00 +0000
Message-ID: <rich@elsewhere.test>
References: <first@elsewhere.test>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=both

--both
Content-Type: text/plain; charset=utf-8

The plain text
--both
Content-Type: multipart/related; boundary=related

--related
Content-Type: text/html; charset=utf-8

<p>The <b>rich</b> text <img src="cid:logo@x"><img src="https://elsewhere.test/p.png"><script>alert(1)</script></p>
--related
Content-Type: image/png
Content-ID: <logo@x>
Content-Transfer-Encoding: base64

{PICTURE}
--related--
--both--
--outer
Content-Type: text/html; name="page.html"
Content-Disposition: attachment; filename="page.html"

<script>alert(document.cookie)</script>
--outer
Content-Type: application/pdf
Content-Disposition: attachment; filename*=utf-8''b%C3%A1o%20c%C3%A1o.pdf
Content-Transfer-Encoding: base64

JVBERi0xLjQ=
--outer--
"""
