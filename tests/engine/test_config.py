"""`pipeline.toml`: what is wrong with it is said, all of it, with the line and what was meant."""

import sys
from pathlib import Path

import pytest

from engine import Duration, Size
from engine.config import Config, ConfigError, Postgresql, load, nearest, parse
from engine.lanes import MAIL

ROOT = Path(__file__).parents[2]

CODE = """
from dataclasses import KW_ONLY, dataclass
from datetime import time
from pathlib import Path
from typing import ClassVar
import msgspec
from engine import *

class Door:
    source = True
    listens = ("smtp",)
    def serve(self): ...

async def mark(message: Message, *, limit: Size = Size("25 MB"), words: tuple[str, ...] = ()) -> Verdict:
    return message

async def needs(message: Message, *, must: int, wait: Duration = Duration("5s"), at: time = time(18)) -> Verdict:
    return message

class Out:
    effect = True
    async def __call__(self, message: Message) -> Verdict: ...

class Home(Out):
    home = "mailboxes"

@dataclass
class Picky:
    _: KW_ONLY
    number: int = 1
    file: Path = Path("kept")
    @staticmethod
    def check(*, number=1, file=None):
        if number > 9:
            yield "number is too large"
    async def __call__(self, message: Message) -> Verdict: ...

class Server(msgspec.Struct):
    url: str
    secret_file: Path | None = None

async def asks(message: Message, *, server: Server | None = None) -> Verdict:
    return message
"""

GOOD = """\
[server]
hostname = "mx.test"

[listen]
smtp = "127.0.0.1:2525"

[lane.inbound]
stages = ["door", "mark", "queue", "out"]

[stage.door]
use = "f.py:Door"

[stage.mark]
use = "f.py:mark"

[stage.out]
use = "f.py:Out"
"""
STAGES = '["door", "mark", "queue", "out"]'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(CODE)
    (tmp_path / "broken.py").write_text("import nothing_here\n")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    return tmp_path


def read(folder: Path, text: str) -> Config:
    return parse(text, folder / "pipeline.toml")


def problems(folder: Path, text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    return [(p.line, p.place, p.text.replace(f"{folder}/", "")) for p in caught.value.problems]


UNSERVED = "no lane has a stage that does what it says; see this table in docs/pipeline.md"

# What is changed in GOOD, with what; then line, place and text of every problem.
WRONG: list[tuple[str, str, list[tuple[int, str, str]]]] = [
    ('hostname = "mx.test"', "hostname = 5", [(2, "[server] hostname", "Expected `str`, got `int`")]),
    (
        "hostname =",
        "hostnam =",
        [(1, "[server] hostname", "is required"), (2, "[server] hostnam", "unknown key; did you mean hostname?")],
    ),
    (
        '"mx.test"',
        '""\nworkers = -1\nhang = "2s"',
        [
            (2, "[server] hostname", "'' is no host name; write it like \"mx.example.org\""),
            (3, "[server] workers", "must not be negative"),
            (4, "[server] hang", "must be at least 3 seconds: a sign of life comes every second"),
        ],
    ),
    (
        '"127.0.0.1:2525"',
        '"127.0.0.1"',
        [
            (
                5,
                "[listen] smtp",
                '\'127.0.0.1\' is no address; write "127.0.0.1:2525", "[::1]:2525" or "*:25" for all',
            )
        ],
    ),
    (
        '"127.0.0.1:2525"',
        '"300.0.0.1:25"',
        [(5, "[listen] smtp", "'300.0.0.1' does not appear to be an IPv4 or IPv6 address")],
    ),
    (
        'smtp = "127.0.0.1:2525"',
        'smtp = { socket = "/run/x" }',
        [(5, "[listen.smtp]", "only lmtp can be a Unix socket; write an address and port")],
    ),
    (
        'smtp = "127.0.0.1:2525"',
        'lmtp = { socket = "run/x", modus = "0660" }',
        [
            (5, "[listen.lmtp] modus", "unknown key; did you mean mode?"),
            (5, "[listen.lmtp]", "socket must be a path from / on, of 107 octets at most"),
        ],
    ),
    (
        'smtp = "127.0.0.1:2525"',
        'lmtp = { socket = "/run/x", mode = "rw" }',
        [(5, "[listen.lmtp]", """mode 'rw' is none; write it like "0660\"""")],
    ),
    (
        "[listen]",
        '[history]\nkeep = "1s"\nsize = "1 MB"\n[listen]',
        [
            (5, "[history] keep", 'must be at least a minute; level = "off" keeps nothing'),
            (6, "[history] size", 'must be at least 16 MB; level = "off" keeps nothing'),
        ],
    ),
    (
        "[listen]",
        '[history]\nlevel = "mial"\n[listen]',
        [(5, "[history] level", "'mial' is none of its values; did you mean mail?")],
    ),
    ("smtp =", "smpt =", [(5, "[listen] smpt", "unknown listener; did you mean smtp?")]),
    (
        "[lane.inbound]",
        'pop3 = "127.0.0.1:2525"\n[lane.inbound]',
        [(5, "[listen] smtp", "has the same address and port as pop3")],
    ),
    (
        'smtp = "127.0.0.1:2525"',
        "",
        [(4, "[listen]", 'no listener; write at least [listen] smtp = "127.0.0.1:2525"')],
    ),
    (
        'smtp = "127.0.0.1:2525"',
        'submission = "127.0.0.1:2525"',
        [(5, "[listen] submission", "nothing serves this listener: no lane begins with a stage that does")],
    ),
    (
        '"queue", "out"',
        '"quue", "out"',
        [
            (
                8,
                "[lane.inbound] stages",
                'no stage is named quue; did you mean queue?, or say where it is: [stage.quue] use = "filters/quue.py"',
            ),
            (8, "[lane.inbound] stages", "mail comes in here but is never stored: put `queue` into the lane"),
        ],
    ),
    (
        '"queue", "out"',
        '"out", "queue"',
        [
            (8, "[lane.inbound] stages", "out must stand behind `queue`: what it does must not be done twice"),
            (
                8,
                "[lane.inbound] stages",
                "nothing behind `queue` says where the mail goes; end with a stage such as `route`",
            ),
        ],
    ),
    (
        STAGES,
        '["door", "mark", "queue", "out", "queue", "mark"]',
        [
            (8, "[lane.inbound] stages", "a lane has one `queue`"),
            (
                8,
                "[lane.inbound] stages",
                "mark stands twice in the lane; give the second one a name and a [stage.NAME] use",
            ),
        ],
    ),
    (
        STAGES,
        '["mark", "door", "queue", "out"]',
        [(8, "[lane.inbound] stages", "door lets mail in, so it must stand first")],
    ),
    (
        "[stage.door]",
        '[lane.two]\nstages = ["door", "queue", "out"]\n[stage.door]',
        [
            (
                11,
                "[lane.two] stages",
                "door lets mail into inbound already; give this one a name and a [stage.NAME] use",
            )
        ],
    ),
    ("[stage.door]", "[lane.two]\n[stage.door]", [(10, "[lane.two] stages", "a lane needs at least one stage")]),
    (
        "[stage.door]",
        '[lane.two]\nstages = ["out"]\nlisten = ["smpt"]\n[stage.door]',
        [(12, "[lane.two] listen", "[listen] has no smpt; did you mean smtp?")],
    ),
    (
        "[stage.out]",
        '[stage.outt]\nuse = "f.py"\n[stage.out]',
        [(16, "[stage.outt]", "no lane has a stage of this name; did you mean out?")],
    ),
    (
        "[stage.out]",
        "[stage.queue]\n[stage.out]",
        [(16, "[stage.queue]", "`queue` is the engine's own; its settings are in [queue]")],
    ),
    ('"f.py:Out"', '"g.py:Out"', [(17, "[stage.out] use", "cannot read g.py: No such file or directory")]),
    ('"f.py:Out"', '"f.py:Oot"', [(17, "[stage.out] use", "f.py has no function or class named Oot")]),
    (
        '"f.py:Out"',
        '"broken.py"',
        [
            (
                17,
                "[stage.out] use",
                "broken.py does not load: ModuleNotFoundError: No module named 'nothing_here' (line 1)",
            )
        ],
    ),
    (
        '"f.py:Out"',
        '"syntax.py"',
        [(17, "[stage.out] use", "syntax.py does not load: SyntaxError: invalid syntax (syntax.py, line 1)")],
    ),
    ('"f.py:Out"', "3", [(17, "[stage.out] use", 'write a path, "filters/name.py", or "package.module:name"')]),
    ('"f.py:Out"', '"no.such:thing"', [(17, "[stage.out] use", "there is no module no.such")]),
    (
        'use = "f.py:mark"',
        'use = "f.py:mark"\nlimit = "a lot"\nlimt = 3\nwords = "x"\ntimeout = "5"\non_error = "skipp"\n'
        'workers = -1\nwhen = "a("',
        [
            (15, "[stage.mark] limit", '\'a lot\' is no size; write it like "25 MB" or "64 KiB"'),
            (16, "[stage.mark] limt", "unknown setting; did you mean limit?"),
            (17, "[stage.mark] words", 'Expected a list, like ["…"], got `str`'),
            (18, "[stage.mark] timeout", '\'5\' is no duration; write it like "90s", "5m", "1h 30m" or "5d"'),
            (19, "[stage.mark] on_error", "'skipp' is none of its values; did you mean skip?"),
            (20, "[stage.mark] workers", "must not be negative"),
            (
                21,
                "[stage.mark] when",
                "cannot read the condition 'a(': '(' stands where the condition should end at column 2",
            ),
        ],
    ),
    ("f.py:mark", "f.py:needs", [(13, "[stage.mark] must", "is required")]),
    (
        '"f.py:mark"',
        '"f.py:needs"\nmust = "x"\nwait = 1.5\nat = "6pm"',
        [
            (15, "[stage.mark] must", "Expected `int`, got `str`"),
            (16, "[stage.mark] wait", "Expected a duration, got 1.5"),
            (17, "[stage.mark] at", "no time of day; write it like 18:00:00"),
        ],
    ),
    ('"f.py:mark"', '"f.py:Picky"\nnumber = 10', [(13, "[stage.mark]", "number is too large")]),
    (
        '"f.py:Out"',
        '"f.py:Home"\nworkers = 2',
        [(18, "[stage.out] workers", "out runs where the mailboxes are, in one process")],
    ),
    (
        "[stage.door]",
        '[queue]\nin_flight = -1\nretry = []\nexpire = "x"\ninlin = 3\nmap_size = -1\n[stage.door]',
        [
            (11, "[queue] in_flight", "must not be negative; 0 holds all mail in the queue"),
            (12, "[queue] retry", 'must name at least one pause, such as ["5m"]'),
            (13, "[queue] expire", '\'x\' is no duration; write it like "90s", "5m", "1h 30m" or "5d"'),
            (14, "[queue] inlin", "unknown key; did you mean inline?"),
            (15, "[queue] map_size", "a size cannot be negative"),
        ],
    ),
    (
        "[stage.door]",
        '[dns]\nservers = ["127.0.0.1", "[::1]:53", "::1", "dns.example"]\n[stage.door]',
        [(11, "[dns] servers", '\'dns.example\' is no address; write "127.0.0.1", "127.0.0.1:5353", "[::1]:53"')],
    ),
    (
        "[stage.door]",
        '[queue]\nretry = ["5m", "x"]\n[stage.door]',
        [(11, "[queue] retry", '\'x\' is no duration; write it like "90s", "5m", "1h 30m" or "5d" at [1]')],
    ),
    (
        "[stage.door]",
        '[tls]\ncertificate = "a.pem"\n[stage.door]',
        [(10, "[tls] key", "is required"), (11, "[tls] certificate", "cannot read a.pem: no such file")],
    ),
    (
        "[stage.door]",
        '[tls]\ncertificate = "a.pem"\nkey = "b.pem"\n[stage.door]',
        [
            (11, "[tls] certificate", "cannot read a.pem: no such file"),
            (12, "[tls] key", "cannot read b.pem: no such file"),
        ],
    ),
    (
        "[stage.door]",
        "[tls]\n[stage.door]",
        [(10, "[tls]", 'names nothing; write certificate = "…" and key = "…", or folder = "…"')],
    ),
    (
        "[stage.door]",
        '[acme]\ndomains = ["a b", "*.x.test"]\ndirectory = "http://ca.test"\n[stage.door]',
        [
            (10, "[acme] challenge", 'is answered by a listener: write [listen] acme_http = "*:80"'),
            (
                11,
                "[acme] domains",
                "'a b' is no domain name: Codepoint U+0020 at position 2 of 'a b' not allowed",
            ),
            (11, "[acme] domains", '*.x.test: wildcards are proven by challenge = "dns-01" alone'),
            (12, "[acme] directory", "must begin with https:// (RFC 8555 6.1)"),
        ],
    ),
    (
        "[stage.door]",
        '[acme]\nchallenge = "dns-01"\n[stage.door]',
        [(10, "[acme] hook", 'is required for dns-01: the command that sets a record, such as ["/etc/dns-hook"]')],
    ),
    (
        'smtp = "127.0.0.1:2525"',
        'smtp = "127.0.0.1:2525"\nacme_http = "*:80"',
        [(6, "[listen] acme_http", "answers an ACME authority; write [acme]")],
    ),
    (
        "[stage.door]",
        '[login]\nallow_networks = ["x"]\nnetwork_guesses = 0\nnetwork_ipv6 = 200\n[stage.door]',
        [
            (11, "[login] allow_networks", "'x' does not appear to be an IPv4 or IPv6 network at [0]"),
            (12, "[login] network_guesses", "must be at least 1"),
            (13, "[login] network_ipv6", "must be a number of bits from 0 to 128"),
        ],
    ),
    (
        "[stage.door]",
        '[quota]\nsize = "much"\nmessages = -1\nfull = "drop"\nwarn = [80, 101]\n[stage.door]',
        [
            (11, "[quota] size", '\'much\' is no size; write it like "25 MB" or "64 KiB"'),
            (12, "[quota] messages", "must not be negative; 0: as many as it likes"),
            (13, "[quota] full", "'drop' is none of its values; there are: defer, reject"),
            (14, "[quota] warn", "must be per cent, from 1 to 100"),
        ],
    ),
    (
        "[stage.door]",
        '[reports]\norg_name = "Us"\n[stage.door]',
        [(10, "[reports] email", "is required"), (10, "[reports]", UNSERVED)],
    ),
    (
        "[stage.door]",
        '[quarantine]\nexpire = "-1d"\ndigest = "8:00"\nurl = "mail.example.org"\nlane = "outbund"\n[stage.door]',
        [
            (11, "[quarantine] expire", '\'-1d\' is no duration; write it like "90s", "5m", "1h 30m" or "5d"'),
            (12, "[quarantine] digest", '\'8:00\' is no time of day; write "08:00", or "off"'),
            (12, "[quarantine] digest", "needs secret_file, by which what people answer is known"),
            (
                13,
                "[quarantine] url",
                "'mail.example.org' is no page; write it like \"https://mail.example.org/quarantine\"",
            ),
            (14, "[quarantine] lane", "no lane outbund has a `queue`; there are: inbound"),
        ],
    ),
    (
        "[stage.door]",
        '[quarantine]\ndigest = "08:00"\nsecret_file = "none"\ndigest_from = "us"\n[stage.door]',
        [
            (12, "[quarantine] secret_file", "cannot read none: No such file or directory"),
            (13, "[quarantine] digest_from", "'us' is no address; write it like \"postmaster@example.org\""),
        ],
    ),
    (
        "[stage.door]",
        '[reports]\norg_name = "Us"\nemail = "nobody"\nlane = "outbund"\n[stage.door]',
        [
            (10, "[reports]", UNSERVED),
            (12, "[reports] email", "'nobody' is no address; write it like \"postmaster@example.org\""),
            (13, "[reports] lane", "no lane outbund has a `queue`; there are: inbound"),
        ],
    ),
    ("[stage.door]", '[oidc]\nissuer = "https://x.test"\n[stage.door]', [(10, "[oidc] audience", "is required")]),
    (
        "[stage.door]",
        '[oidc]\nissuer = "http://x.test"\naudience = ""\nclient_secret_file = "s"\n[stage.door]',
        [
            (10, "[oidc] client_id", "goes together with client_secret_file"),
            (11, "[oidc] issuer", "'http://x.test' is no issuer; write it like \"https://id.example.org\""),
            (12, "[oidc] audience", "must name whom a token is for: else any program's token would do"),
            (13, "[oidc] client_secret_file", "cannot read s: no such file"),
        ],
    ),
    (
        "[stage.door]",
        '[directory.ldap]\nservers = ["ldaps://ldap.test"]\n[directory.open-ldap]\n[stage.door]',
        [
            (10, "[directory.ldap] postmaster", "is required"),
            (10, "[directory.ldap] base", "is required"),
            (12, "[directory.open-ldap]", "unknown table; did you mean ldap?"),
        ],
    ),
    (
        "[stage.door]",
        '[directory.ldap]\nbase = "dc=a"\npostmaster = "x"\nservers = ["ldap://ldap.test", "ldap.test"]\n'
        'starttls = false\nbind_dn = "cn=a"\naccount_filter = "(mail=a"\ngroup_filter = "(mail=a)"\n'
        "connections = 0\n[stage.door]",
        [
            (12, "[directory.ldap] postmaster", "'x' is no address; write it like \"ann@example.org\""),
            (
                13,
                "[directory.ldap] servers",
                "'ldap.test' is no LDAP server; write it like \"ldaps://ldap.example.org\"",
            ),
            (
                14,
                "[directory.ldap] starttls",
                "must be true for ldap://ldap.test: passwords would travel in the clear",
            ),
            (15, "[directory.ldap] bind_dn", "goes together with bind_password_file"),
            (16, "[directory.ldap] account_filter", "\")\" is lacking before ''"),
            (16, "[directory.ldap] account_filter", "must ask for {address}, or for {local} and {domain}"),
            (17, "[directory.ldap] group_filter", "must ask for {address}, or for {local} and {domain}"),
            (18, "[directory.ldap] connections", "must be at least 1"),
        ],
    ),
    (
        "[stage.door]",
        '[directory.postgresql]\npostmaster = "ann@example.org"\ndatabase = ""\n'
        '[directory.ldap]\npostmaster = "ann@example.org"\nbase = "dc=a"\nservers = ["ldaps://a.test"]\n[stage.door]',
        [(10, "[directory.postgresql]", "there is one directory, and [directory.ldap] names another")],
    ),
    ("[stage.door]", "[servr]\n[stage.door]", [(10, "[servr]", "unknown table; did you mean server?")]),
    (
        GOOD,
        "listen = 3\nlane = 4\nstage = 5\nserver = 6\n",
        [
            (1, "[listen]", "must be a table, [listen]"),
            (2, "[lane]", "must be a table, [lane]"),
            (3, "[stage]", "must be a table, [stage]"),
            (4, "[server]", "must be a table, [server]"),
            (4, "[server] hostname", "is required"),
        ],
    ),
    (
        GOOD,
        "",
        [
            (0, "[server] hostname", "is required"),
            (0, "[lane]", 'no lane; write at least [lane.inbound] stages = ["accept", "queue", "route"]'),
        ],
    ),
    (GOOD, "[server]\nhostname = \n", [(2, "", "Invalid value at column 12")]),
    (
        "[stage.door]",
        "[server]\n[stage.door]",
        [(10, "", "Cannot declare ('server',) twice at column 8")],
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), WRONG, ids=[f"{new[:30]}" for _, new, _ in WRONG])
def test_what_is_wrong_is_said_exactly(folder: Path, old: str, new: str, expected: list[tuple[int, str, str]]) -> None:
    assert GOOD.count(old) == 1
    assert problems(folder, GOOD.replace(old, new)) == expected


POSTGRESQL = '[directory.postgresql]\npostmaster = "ann@example.org"\n'
DATABASES = [
    ("", ""),
    ("dbname=mail", ""),
    ("host=/run/postgresql", ""),
    ("host=localhost,127.0.0.1,::1", ""),
    ("hostaddr=127.0.0.1", ""),
    ("postgresql://db.test/mail?sslmode=verify-full", ""),
    ("host=db.test sslmode=verify-ca", ""),
    ("host=db.test", "goes to another machine: say sslmode=verify-full"),
    ("host=127.0.0.1,db.test sslmode=require", "goes to another machine: say sslmode=verify-full"),
    ("hostaddr=192.0.2.1", "goes to another machine: say sslmode=verify-full"),
    ("hots=db.test", 'invalid connection option "hots"'),
]


@pytest.mark.parametrize(("database", "why"), DATABASES)
def test_a_database_on_another_machine_is_reached_under_tls(folder: Path, database: str, why: str) -> None:
    pytest.importorskip("psycopg")
    text = GOOD.replace("[stage.door]", f'{POSTGRESQL}database = "{database}"\n[stage.door]')
    if why:
        assert problems(folder, text) == [(12, "[directory.postgresql] database", why)]
    else:
        assert isinstance(read(folder, text).directory, Postgresql)


def test_queries_must_ask_for_somebody(folder: Path) -> None:
    pytest.importorskip("psycopg")
    table = f'{POSTGRESQL}database = ""\naccount_query = ""\nalias_query = ""\ndomain_query = "SELECT 1"\n[stage.door]'
    assert problems(folder, GOOD.replace("[stage.door]", table)) == [
        (13, "[directory.postgresql] account_query", "must ask for %(address)s"),
        (15, "[directory.postgresql] domain_query", "must ask for %(domain)s"),
    ]


def test_what_is_not_installed_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    needed = "needs the package psycopg: pip install 'postroad[postgresql]'"
    text = GOOD.replace("[stage.door]", f'{POSTGRESQL}database = ""\n[stage.door]')
    assert problems(folder, text) == [(10, "[directory.postgresql]", needed)]


def test_mistakes_of_several_places_are_said_at_once_in_their_order(folder: Path) -> None:
    text = GOOD.replace("mx.test", "").replace("smtp =", "smpt =").replace("f.py:mark", "f.py:nothing") + "x = 1\n"
    assert [line for line, _, _ in problems(folder, text)] == [2, 5, 14, 18]


def test_the_error_reads_as_editors_and_people_want_it(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(folder, GOOD.replace("smtp =", "smpt ="))
    path = folder / "pipeline.toml"
    assert str(caught.value) == f"{path}:5: [listen] smpt: unknown listener; did you mean smtp?"


def test_a_file_that_is_not_there_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file or directory; start in the folder .* or say --config FILE"):
        load(tmp_path / "pipeline.toml")


def test_names_for_acme_are_a_labels(folder: Path) -> None:
    acme = '[acme]\nchallenge = "dns-01"\nhook = ["hook"]\ntrust = "ca.pem"\ndomains = ["*.BÜCHER.test", "mx.test"]\n'
    config = read(folder, GOOD.replace("[stage.door]", f"{acme}[stage.door]"))
    assert config.acme is not None
    assert config.acme.domains == ("*.xn--bcher-kva.test", "mx.test")
    assert config.acme.trust == folder / "ca.pem"
    assert config.tls is not None


def test_authorities_of_clients_go_with_a_certificate_by_acme(folder: Path) -> None:
    (folder / "people.pem").touch()
    tables = '[acme]\nchallenge = "dns-01"\nhook = ["hook"]\n[tls]\nclient_ca = "people.pem"\n'
    config = read(folder, GOOD.replace("[stage.door]", f"{tables}[stage.door]"))
    assert config.tls is not None
    assert config.tls.client_ca == folder / "people.pem"


def test_a_good_file_is_read_into_typed_values(folder: Path) -> None:
    more = '[queue]\nretry = ["1m", "1h 30m"]\nreserve = "1 GB"\n[stage.mark]\nlimit = "30 MB"\ntimeout = "5s"\n'
    config = read(folder, GOOD.replace('[stage.mark]\nuse = "f.py:mark"\n', more + 'use = "f.py:mark"\n'))
    assert config.server.data == folder / "var"
    assert config.listen == {"smtp": ("127.0.0.1", 2525)}
    assert config.queue.retry == (Duration("1m"), Duration("90m"))
    assert config.queue.reserve == Size("1 GB")
    assert config.stages["mark"].settings == {"limit": 30_000_000}
    assert config.stages["mark"].timeout == 5
    assert config.stages["out"].timeout == float("inf")
    course = config.courses["inbound"]
    assert (course.source, course.queued, course.listen) == ("door", True, ("smtp",))
    assert [leg.name for leg in (*course.before, *course.after)] == ["inbound/mark", "inbound/out"]
    assert {leg.place for leg in course.before} == {MAIL}


@pytest.mark.parametrize(("written", "where"), [("a/list", "{folder}/a/list"), ("/etc/list", "/etc/list")])
def test_the_path_in_a_setting_starts_from_the_file_s_folder(folder: Path, written: str, where: str) -> None:
    config = read(folder, GOOD.replace('"f.py:mark"', f'"f.py:Picky"\nfile = "{written}"'))
    assert config.stages["mark"].settings == {"file": Path(where.format(folder=folder))}


@pytest.mark.parametrize(
    "written", ['server = { url = "u", secret_file = "a/b" }', '[stage.mark.server]\nurl = "u"\nsecret_file = "a/b"']
)
def test_so_does_one_within_a_table(folder: Path, written: str) -> None:
    config = read(folder, GOOD.replace('"f.py:mark"', f'"f.py:asks"\n{written}'))
    assert config.stages["mark"].settings["server"].secret_file == folder / "a/b"


ADDRESSES = [("[::1]:25", ("::1", 25)), ("*:25", ("::", 25)), ("localhost:0", ("127.0.0.1", 0))]


@pytest.mark.parametrize(("text", "address"), ADDRESSES)
def test_listeners_may_be_written_shortly(folder: Path, text: str, address: tuple[str, int]) -> None:
    assert read(folder, GOOD.replace("127.0.0.1:2525", text)).listen["smtp"] == address


def test_the_example_reads_well() -> None:
    config = load(ROOT / "pipeline.toml")
    assert [lane.name for lane in config.lanes] == ["inbound", "outbound", "local", "remote"]
    assert config.courses["inbound"].source == "accept"
    assert config.courses["remote"].after[-1].effect


def test_the_example_s_commented_lines_read_well_too(tmp_path: Path) -> None:
    text = (ROOT / "pipeline.toml").read_text()
    text = text.replace('# "needs_subject",', '"needs_subject",').replace(
        "# [stage.needs_subject]", "[stage.needs_subject]"
    )
    text = text.replace('# use = "filters/needs_subject.py"', 'use = "filters/needs_subject.py"')
    config = parse(text, ROOT / "pipeline.toml")
    assert "needs_subject" in config.stages


def test_a_changed_filter_is_another_one_on_the_next_reading(folder: Path) -> None:
    before = read(folder, GOOD).stages["mark"].spec
    same = read(folder, GOOD).stages["mark"].spec
    (folder / "f.py").write_text(CODE.replace('Size("25 MB")', 'Size("26 MB")'))
    after = read(folder, GOOD).stages["mark"].spec
    assert before.code == same.code != after.code
    assert (before.use, before.name) == (after.use, after.name)


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [("lokal", ["local", "remote"], "; did you mean local?"), ("x", ["b", "a"], "; there are: a, b"), ("x", [], "")],
)
def test_a_hint_names_the_nearest_or_all(name: str, known: list[str], hint: str) -> None:
    assert nearest(name, known) == hint
