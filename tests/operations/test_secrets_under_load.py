"""Nothing leaks a secret: people and programs log in by all ways under load, then all that is told is searched.

Each secret has a heart of its own that cannot come about by chance, and is looked for as it is, in base64 wherever it
may have begun, and in hexadecimal.
"""

import base64
import contextlib
import imaplib
import json
import poplib
import re
import secrets
import smtplib
import socket
import threading
import urllib.parse
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from engine.directory import Embedded
from tests.support.collector import Collector
from tests.support.described import DOCUMENT
from tests.support.http_server import HttpServer
from tests.support.issuer import Provider
from tests.support.journald import Journald, journald, rooms_apart
from tests.support.programs import Certificates
from tests.support.remote import USUAL, Remote
from tests.support.scram import Client
from tests.support.server import PASSWORD, PATIENCE, Postroad, blind, free_port, until
from tests.support.shift import BOB, FAR, SCRIPT, Shift, on_shift

ANN = "ann@example.org"
WILLY = "willy@provider.test"


class Secret(NamedTuple):
    """``text`` is the whole of it, with what must be encoded on the way; ``heart`` gives it away."""

    text: str
    heart: str

    @classmethod
    def new(cls) -> "Secret":
        heart = secrets.token_hex(12)
        return cls(f"K&n=rie {heart} %+/", heart)

    @property
    def forms(self) -> list[bytes]:
        octets = self.heart.encode()
        whole = [base64.b64encode(bytes(shift) + octets)[4 * bool(shift) : -4] for shift in range(3)]
        return [octets, octets.hex().encode(), *whole]


class Post(NamedTuple):
    shift: Shift
    collector: Collector
    hooks: HttpServer
    provider: Provider
    journal: Journald | None
    syslog: list[bytes]
    secrets: dict[str, Secret]

    @property
    def server(self) -> Postroad:
        return self.shift.server

    def secret(self, name: str) -> str:
        """One of that name, which is made when it is first asked for."""
        return self.secrets.setdefault(name, Secret.new()).text

    def found(self, name: str, text: str) -> str:
        """One that the server has made."""
        self.secrets[name] = Secret(text, max(re.split(r"[^0-9A-Za-z]", text), key=len))
        return text


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    folder = tmp_path
    kept: dict[str, Secret] = {name: Secret.new() for name in ("ann", "smart host", "hook", "srs", "traces", "metrics")}
    with ExitStack() as stack:
        collector = stack.enter_context(Collector().serving())
        hooks = stack.enter_context(HttpServer(lambda _: b"ok").serving())
        provider = stack.enter_context(contextlib.closing(Provider()))
        syslog, place = stack.enter_context(heard())
        journal = stack.enter_context(journald(folder / "journal")) if rooms_apart() else None
        written = {
            "hook.secret": kept["hook"].text, "return-path.secrets": kept["srs"].text, "issuer.secret": "s3cret",
            "provider.login": f"{WILLY}\n{kept['smart host'].text}", "metrics.token": kept["metrics"].heart,
            "traces.fields": f"X-Token: {kept['traces'].text}",
        }  # fmt: skip
        for name, text in written.items():
            (folder / name).write_text(f"{text}\n")
        remote = echoing(kept["smart host"])
        settings = {
            **listening(Certificates(folder / "tls")),
            "log": {"file": "log/events.jsonl", "syslog": place, "journald": journal is not None},
            "metrics": {"token_file": "metrics.token"},
            "traces": {"endpoint": collector.endpoint, "headers_file": "traces.fields"},
            "webhook": {"crm": {"url": f"http://127.0.0.1:{hooks.port}/", "secret_file": "hook.secret"}},
            "oidc": {
                "issuer": provider.url, "audience": "postroad", "client_id": "postroad",
                "client_secret_file": "issuer.secret",
            },
            "srs": {"domain": "example.org", "secret_file": "return-path.secrets"},
        }  # fmt: skip
        with Embedded.open(folder / "var" / "directory", ["example.org"]) as directory:
            directory.add_account(ANN, kept["ann"].text)
        starter = journal.inside if journal else ()
        with stack, on_shift(folder, by_smart_host(settings, remote), remote=remote, starter=starter) as shift:
            yield Post(shift, collector, hooks, provider, journal, syslog, kept)


def listening(certificates: Certificates) -> dict[str, object]:
    """Everywhere where one can log in."""
    names = ("submission", "submissions", "imap", "managesieve", "web", "metrics")
    return {
        "tls": certificates.settings,
        "login": {"allow_networks": ["127.0.0.0/8"]},  # nobody is kept out for all that is wrong
        "listen": dict.fromkeys(names, "127.0.0.1:0"),
        "lane": {
            "outbound": {"listen": ["submission", "submissions"], "stages": ["submit", "queue", "route"]},
            "remote": {"stages": ["return_path", "resolve", "relay"]},
        },
    }


def echoing(login: Secret) -> Remote:
    """A next server that refuses our login at first, and says what it has heard."""
    heard = base64.b64encode(f"\0{WILLY}\0{login.text}".encode()).decode()
    script = {**SCRIPT, "AUTH": [f"535 5.7.8 What is AUTH PLAIN {heard}", "235 2.7.0 Welcome"]}
    return Remote(script=script, extensions=(*USUAL, "AUTH PLAIN"))


@contextlib.contextmanager
def heard() -> Iterator[tuple[list[bytes], str]]:
    """What a syslog server hears by UDP, and where it is."""
    lines: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        there.settimeout(0.2)
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    lines.append(there.recv(65536))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield lines, f"udp:127.0.0.1:{there.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def by_smart_host(settings: dict[str, object], remote: Remote) -> dict[str, object]:
    """All that leaves goes by the next server, with a login. Its port is that which the test's own stack gives it."""
    remote.port = free_port()
    table = {"host": "127.0.0.1", "port": remote.port, "login_file": "provider.login", "tls": "never"}
    return {
        **settings, "smart_host": {"provider": table}, "stage": {
            "submit": {"use": "stages.accept", "login": "required"},
            "resolve": {"smart_host": f"127.0.0.1:{remote.port}"},
        },
    }  # fmt: skip


# -- as people and programs log in


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def plain(who: str, password: str) -> str:
    return in_base64(f"\0{who}\0{password}")


def by_smtp(server: Postroad, listener: str) -> smtplib.SMTP:
    if listener == "submissions":
        client: smtplib.SMTP = smtplib.SMTP_SSL(
            "127.0.0.1", server.ports[listener], timeout=PATIENCE, context=blind()
        )  # fmt: skip
    else:
        client = server.smtp(listener)
        client.starttls(context=blind())
    client.ehlo()
    return client


def log_in_by_smtp(post: Post, listener: str) -> None:
    good, wrong = post.secret("ann"), post.secret(f"wrong by {listener}")
    token, over = post.found("token", "canary-" + secrets.token_hex(16)), post.secret(f"no token by {listener}")
    post.provider.active[token] = {"active": True, "email": ANN, "aud": "postroad"}
    tries = {
        f"PLAIN {plain(ANN, good)}": 235,
        f"PLAIN {plain(ANN, wrong)}": 535,
        f"PLAIN {wrong}": 501,
        f"PLAIN {in_base64(wrong)}": 501,
        f"{in_base64(wrong)} {wrong}": 504,
        f"XOAUTH2 {in_base64(f'user={ANN}{chr(1)}auth=Bearer {token}{chr(1)}{chr(1)}')}": 235,
        f"OAUTHBEARER {in_base64(f'n,a={ANN},{chr(1)}auth=Bearer {token}{chr(1)}{chr(1)}')}": 235,
        f"OAUTHBEARER {in_base64(f'n,a={ANN},{chr(1)}auth=Bearer {over}{chr(1)}{chr(1)}')}": 0,
    }
    heard = []
    for said, code in tries.items():
        with contextlib.closing(by_smtp(post.server, listener)) as client:
            answer = client.docmd("AUTH", said)
            heard += [answer, client.docmd("PASS", wrong), client.docmd("AUTH", wrong)]
            assert code in (0, answer[0]), (said.partition(" ")[0], answer)
    with by_smtp(post.server, listener) as client:
        assert client.docmd("AUTH", "LOGIN")[0] == 334
        assert client.docmd(in_base64(ANN))[0] == 334
        assert client.docmd(in_base64(good))[0] == 235
    with by_smtp(post.server, listener) as client:
        scram = Client(ANN, good)
        code, challenge = client.docmd("AUTH", f"SCRAM-SHA-256 {base64.b64encode(scram.first).decode()}")
        assert code == 334
        answer = client.docmd(base64.b64encode(scram.final(base64.b64decode(challenge))).decode())
        assert (answer[0], client.docmd("")[0]) == (334, 235)
    with by_smtp(post.server, listener) as client:
        client.login(ANN, good)
        client.sendmail(ANN, [FAR, BOB], f"From: {ANN}\r\nSubject: from Ann\r\n\r\nhi\r\n".encode())
    searched(post, "an answer by SMTP", str(heard).encode())


def told(post: Post, listener: str, *lines: str) -> bytes:
    """What is heard of such lines under TLS, said one after the other."""
    start = {"imap": b"a STARTTLS\r\n", "pop3": b"STLS\r\n", "managesieve": b"STARTTLS\r\n"}[listener]
    with socket.create_connection(("127.0.0.1", post.server.ports[listener]), PATIENCE) as bare:
        file = bare.makefile("rb", buffering=0)
        while not (line := file.readline()).startswith((b"+OK", b"* OK", b"OK")):
            assert line
        bare.sendall(start)
        file.readline()
        with blind().wrap_socket(bare) as client:
            client.sendall("".join(f"{line}\r\n" for line in lines).encode())
            client.settimeout(PATIENCE)
            heard = b""
            with contextlib.suppress(TimeoutError, OSError):
                while octets := client.recv(65536):
                    heard += octets
            return heard


def log_in_by_imap(post: Post) -> None:
    good, wrong, token = post.secret("ann"), post.secret("wrong by IMAP"), post.secrets["token"].text
    bearer = in_base64(f"n,a={ANN},\x01auth=Bearer {token}\x01\x01")
    heard = told(
        post, "imap", f'a LOGIN {ANN} "{wrong}"', f"b AUTHENTICATE PLAIN {plain(ANN, wrong)}", f"c LOGIN {wrong}",
        f"LOGIN {wrong}", f'd LOGIN "{ANN}" "{wrong}', f"e SELECT {wrong}", f"f AUTHENTICATE {wrong}",
        f"g LOGIN {ANN} {{{len(wrong)}+}}", wrong, "h LOGOUT",
    )  # fmt: skip
    assert b"a NO" in heard
    for line in (
        f'a LOGIN {ANN} "{good}"',
        f"a AUTHENTICATE PLAIN {plain(ANN, good)}",
        f"a AUTHENTICATE OAUTHBEARER {bearer}",
    ):
        answer = told(post, "imap", line, "b LOGOUT")
        assert b"a OK" in answer, answer
        heard += answer
    client = imaplib.IMAP4("127.0.0.1", post.server.ports["imap"], timeout=PATIENCE)
    with client:
        client.starttls(blind())
        client.login(ANN, app_password(post))
    searched(post, "an answer by IMAP", heard)


def app_password(post: Post) -> str:
    if "app password" not in post.secrets:
        text = post.shift.run("account", "app-password", "add", ANN, "phone").strip()
        post.secrets["app password"] = Secret(text, text)
    return post.secrets["app password"].text


def log_in_by_pop3_and_managesieve(post: Post) -> None:
    good, wrong = post.secret("ann"), post.secret("wrong by POP3")
    heard = told(
        post, "pop3", f"USER {ANN}", f"PASS {wrong}", f"PASS {wrong}", f"AUTH PLAIN {plain(ANN, wrong)}",
        f"APOP {ANN} {wrong}", f"XYZZY {wrong}", "QUIT",
    )  # fmt: skip
    assert b"-ERR" in heard
    client = poplib.POP3("127.0.0.1", post.server.ports["pop3"], timeout=PATIENCE)
    with contextlib.closing(client):
        client.stls(blind())
        client.user(ANN)
        client.pass_(good)
        client.quit()
    sieve = told(
        post, "managesieve", f'AUTHENTICATE "PLAIN" "{plain(ANN, wrong)}"', f'AUTHENTICATE "{wrong}"',
        f'XYZZY "{wrong}"',
        f'AUTHENTICATE "PLAIN" "{plain(ANN, good)}"', "LOGOUT",
    )  # fmt: skip
    assert b"\nNO" in sieve
    assert b"\nOK" in sieve
    searched(post, "an answer by POP3 or ManageSieve", heard + sieve)


def come_by_the_web(post: Post) -> None:
    """The pages and the API, with what is right, what is wrong, and what stands where it does not belong."""
    server = post.server
    wrong = post.secret("wrong by the web")
    site = f"http://localhost:{server.ports['web']}"
    key = post.shift.run("token", "add", "everything", "--scope", "all", "--rate", "1000000/1m").strip()
    post.secrets["token of the API"] = Secret(key, key.split("_", 2)[2])  # which may have a "_" of its own
    assert server.command("account", "role", "add", ANN, "owner").returncode == 0
    with httpx2.Client(base_url=site, timeout=PATIENCE) as browser:
        answers = [browser.post("/sign-in", data={"address": ANN, "password": wrong})]
        signed = browser.post("/sign-in", data={"address": ANN, "password": post.secret("ann")})
        assert signed.status_code == 303
        (cookie,) = browser.cookies.values()
        post.secrets["session"] = Secret(cookie, cookie)
        for path in ("/account", "/admin/overview", "/admin/queue", "/admin/account?address=ann%40example.org"):
            answers.append(browser.get(path))
            assert answers[-1].status_code == 200, path
        for path in ("/sign-in?password=", "/api/v1/token?access_token=", "/"):
            answers.append(browser.get(f"{path}{urllib.parse.quote(wrong)}"))
    for shown in (key, wrong, f"postroad_{'q' * 10}_{wrong[-40:]}"):
        headers = {"authorization": f"Bearer {urllib.parse.quote(shown)}"}
        with httpx2.Client(base_url=f"{site}/api/v1", headers=headers, timeout=PATIENCE) as program:
            for path, methods in DOCUMENT["paths"].items():
                if "get" in methods and path != "/measures":
                    answers.append(program.get(re.sub(r"{.*?}", "7", path)))
    assert {200, 401} <= {answer.status_code for answer in answers}
    searched(post, "an answer of the web", "".join(f"{one.headers} {one.text}" for one in answers[1:]).encode())


# -- what is told


def searched(post: Post, where: str, octets: bytes, *without: str) -> None:
    """Nothing of all secrets so far is there."""
    for name, secret in {**post.secrets, "Bob's": Secret(PASSWORD, PASSWORD)}.items():
        found = [form for form in secret.forms if form in octets and name not in without]
        assert not found, f"{where} has the secret {name!r}: …{octets[max(0, octets.find(found[0]) - 200) :][:500]!r}"


def search_logs(post: Post) -> None:
    server = post.server
    server.wait_for("login", ok=False)
    # Whoever's message was the first that left.
    until(lambda: "it repeats our login" in json.dumps(server.all("deferred")), "the refusal of our login")
    post.shift.load.flows()
    searched(post, "standard error", (json.dumps(server.events) + "".join(server.noise)).encode())
    searched(post, "the log", b"".join(path.read_bytes() for path in (server.folder / "log").iterdir()))
    until(lambda: any(b'"event":"login"' in line for line in list(post.syslog)), "a login in syslog")
    searched(post, "syslog", b"\n".join(post.syslog))
    if post.journal:
        journal, wanted = post.journal, {"login", "deferred", "accepted"}
        until(lambda: wanted <= {one["POSTROAD_EVENT"] for one in journal.entries()}, f"{wanted} in the journal")
        searched(post, "the journal", json.dumps(journal.entries()).encode())


def search_measures_traces_and_webhooks(post: Post) -> None:
    server = post.server
    url = f"http://127.0.0.1:{server.ports['metrics']}/metrics"
    for token in (post.secrets["metrics"].heart, post.secret("no token of measures").replace(" ", "")):
        answer = httpx2.get(url, headers={"authorization": f"Bearer {urllib.parse.quote(token)}"}, timeout=PATIENCE)
        searched(post, "a scrape", f"{answer.headers} {answer.text}".encode())
    assert (
        "postroad_logins_total"
        in httpx2.get(url, headers={"authorization": f"Bearer {post.secrets['metrics'].heart}"}, timeout=PATIENCE).text
    )
    until(lambda: post.collector.told and post.hooks.asked, "a span and a webhook")
    searched(post, "a trace", repr(post.collector.told).encode())
    for asked in list(post.hooks.asked):
        searched(post, "a webhook", repr(asked).encode())


COMMANDS = """
explain --json ann@example.org
explain --json fay@far.test
explain bob@example.org
queue list --json
queue top --json
queue verify
queue snapshot saved.tar
quarantine list --json
account list --json
account find ann@example.org --json
account app-password list ann@example.org --json
token list --json
ban list --json
bounces list --json
show --json
top --once --json
tap inbound/queue --count 3 --headers --json
log --json
check --json
revision list --json
revision show 1 --json
audit list --json
figures --json
egress list --json
doctor --json --only server --only queue --only limits
""".strip().splitlines()


def search_what_a_command_says(post: Post, line: str) -> None:
    done = post.server.command(*line.split())
    assert "Usage:" not in done.stderr, done.stderr
    searched(post, line, (done.stdout + done.stderr).encode())


def search_files_and_processes(post: Post) -> None:
    """But for files that somebody has put there for that: what the server keeps is hashed."""
    until(lambda: FAR.encode() in unpacked(post), "the history")
    for path, octets in files(post):
        searched(post, str(path), octets)
    searched(post, "what is compressed", unpacked(post))
    searched(post, "the snapshot", (post.server.folder / "saved.tar").read_bytes())
    for pid in (post.server.pid, *post.server.workers().values()):
        for name in ("cmdline", "environ", "comm"):
            searched(post, f"{name} of a process", Path(f"/proc/{pid}/{name}").read_bytes())


def files(post: Post) -> Iterator[tuple[Path, bytes]]:
    """All that the server keeps, but for what goes while it is looked for."""
    for path in sorted((post.server.folder / "var").rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                yield path, path.read_bytes()


def unpacked(post: Post) -> bytes:
    return b"".join(one for _, octets in files(post) for one in streams(octets))


def streams(octets: bytes) -> Iterator[bytes]:
    """What is compressed in a file, as zlib and gzip do."""
    for found in re.finditer(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08", octets):
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj(wbits=47).decompress(octets[found.start() : found.start() + 2**20], 2**24)


def test_no_secret_is_in_anything_that_is_told(post: Post) -> None:
    for listener in ("submission", "submissions"):
        log_in_by_smtp(post, listener)
    log_in_by_imap(post)
    log_in_by_pop3_and_managesieve(post)
    come_by_the_web(post)
    search_logs(post)
    search_measures_traces_and_webhooks(post)
    for line in COMMANDS:
        search_what_a_command_says(post, line)
    search_files_and_processes(post)
    assert len(post.secrets) > 14
