"""The pipeline.toml that comes along, with what somebody has answered in it. Its comments stay."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from engine.cli.init.answers import Acme, Answers, Files, Ports, SelfSigned

_INSTALLED = Path(__file__).parents[3]
SHIPPED = next(path for path in (_INSTALLED / "bench" / "files", _INSTALLED) if (path / "pipeline.toml").is_file())
"""Where pipeline.toml and filters/ are: beside the benchmarks where we are installed, else at the root of the tree."""

CERTIFICATE, KEY, LOGIN = "tls/cert.pem", "tls/key.pem", "relay.login"
"""Files that we write beside pipeline.toml, and name in it."""


class _Text:
    """Lines that are replaced. LookupError where they are not what they were when this was written."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()

    def replace(self, beginning: str, *lines: str) -> None:
        """Put lines in the place of the only one that begins so."""
        at = self._find(beginning)
        self._lines[at : at + 1] = lines

    def replace_block(self, heading: str, *lines: str) -> None:
        """The same for all lines from this one to the next empty one."""
        at = self._find(heading)
        end = next(number for number in range(at, len(self._lines)) if not self._lines[number])
        self._lines[at:end] = lines

    def uncomment(self, *beginnings: str) -> None:
        """Take away what makes a comment of the lines that begin so behind it."""
        for beginning in beginnings:
            at = self._find(f"# {beginning}")
            self._lines[at] = self._lines[at].replace("# ", "", 1)

    def comment(self, *beginnings: str) -> None:
        """Make comments of the lines that begin so."""
        for beginning in beginnings:
            at = self._find(beginning)
            line = self._lines[at]
            self._lines[at] = f"{line[: len(line) - len(line.lstrip())]}# {line.lstrip()}"

    def _find(self, beginning: str) -> int:
        found = [number for number, line in enumerate(self._lines) if line.lstrip().startswith(beginning)]
        if len(found) != 1:
            raise LookupError(f"pipeline.toml has {len(found)} lines that begin with {beginning}")
        return found[0]

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def filled(template: str, answers: Answers) -> str:
    """The text of the new pipeline.toml."""
    names = {"mx.example.org": answers.hostname, "example.org": answers.domains[0]}
    text = _Text(re.sub(r"\bmx\.example\.org\b|\bexample\.org\b", lambda found: names[found[0]], template))
    _server(text, answers)
    _listen(text, answers.ports, answers.tls)
    _tls(text, answers)
    if not answers.trust_loopback:
        text.replace("relay_networks = ", "relay_networks = []  # who may send to the world without a login: nobody")
    text.replace("listen = ", 'listen = ["submissions", "submission"]')
    scanned = '"submit", "scan", "queue", "route"' if answers.scanners else '"submit", "queue", "route"'
    text.replace('stages = ["submit"', f"stages = [{scanned}]")
    _scanners(text, answers)
    whole = str(text) + "".join(f"{line}\n" for line in _way_out(answers))
    return re.sub(r"^(?!#)(.{1,32}?) {2,}# ", lambda found: f"{found[1]:<32} # ", whole, flags=re.MULTILINE)


def _server(text: _Text, answers: Answers) -> None:
    data = quoted(str(answers.data)) if answers.data else '"var"'
    lines = [f"data = {data}  # queue, mailboxes, accounts; relative to this file"]
    if answers.user:
        lines.append(f"user = {quoted(answers.user)}  # who we are once the ports are bound")
    text.replace("data = ", *lines)
    local = f"local = [{', '.join(map(quoted, answers.domains))}]"
    text.replace("local = ", f"{local}  # mail for these stays here; more: postroad domain add NAME")


def _listen(text: _Text, ports: Ports, tls: Acme | Files | SelfSigned) -> None:
    challenge = [f'acme_http = "{ports.at(80)}"  # where the authority asks'] if isinstance(tls, Acme) else []
    text.replace("smtp = ", f'smtp = "{ports.at(25)}"', *challenge)
    text.replace("imap = ", f'imaps = "{ports.at(993)}"')
    text.replace("pop3 = ", f'# pop3s = "{ports.at(995)}"')
    text.replace("# managesieve = ", f'managesieve = "{ports.at(4190)}"  # people\'s Sieve scripts')
    text.comment("web = ")
    text.replace(
        "submission = ",
        f'submissions = "{ports.at(465)}"  # for people with an account: TLS from the first octet',
        f'submission = "{ports.at(587)}"  # the same by STARTTLS',
    )


def _tls(text: _Text, answers: Answers) -> None:
    tls = answers.tls
    if isinstance(tls, Acme):
        email = [f"email = {quoted(tls.email)}"] if tls.email else []
        text.replace_block("# [acme]", "[acme]", *email, f"domains = [{quoted(answers.hostname)}]")
        return
    certificate, key = (CERTIFICATE, KEY) if isinstance(tls, SelfSigned) else (str(tls.certificate), str(tls.key))
    text.uncomment("[tls]")
    text.replace("# certificate = ", f"certificate = {quoted(certificate)}")
    text.replace("# key = ", f"key = {quoted(key)}")


def _scanners(text: _Text, answers: Answers) -> None:
    text.comment("when = ")  # people's mail is looked at, too
    if not answers.scanners:
        text.comment('"scan",', "[stage.scan]")
    if "spam" not in answers.scanners:
        text.comment("spam = ")
    text.uncomment(*(f"{name} = " for name in answers.scanners if name != "spam"))
    if "clamav" in answers.scanners:
        text.replace("clamav = ", f"clamav = {{ socket = {quoted(answers.scanners['clamav'])} }}")


def _way_out(answers: Answers) -> Iterator[str]:
    relay = answers.relay
    if relay is None:
        return
    yield ""
    yield "[stage.resolve]"
    yield f"smart_host = {quoted(f'{relay.host}:{relay.port}')}  # takes all mail that goes out"
    if relay.login:
        yield ""
        yield "[smart_host.upstream]  # our account there"
        yield f"host = {quoted(relay.host)}"
        yield f"port = {relay.port}"
        yield f'login_file = "{LOGIN}"  # the name, and on the next line the password'
        yield f'tls = "{relay.tls}"'


def quoted(text: str) -> str:
    """A string as TOML has it; JSON writes it in the same way."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
