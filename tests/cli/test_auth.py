"""`postroad auth`: what it prints, and how it ends; the openspf suite through the command and a real DNS server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.net.zone import Fault, Zone
from tests.authentication.letters import HEADER, letter, records, signed
from tests.support.background import dns

SUITE = json.loads((Path(__file__).parents[1] / "authentication" / "data" / "rfc7208-tests.json").read_text())
FROM_ADA = ["--client-ip", "192.0.2.1", "--helo", "mx.example.com", "--mail-from", "ada@example.com"]


def zone() -> Zone:
    keys = {name.removesuffix(".com"): {"TXT": f'"{text[:200]}" "{text[200:]}"'} for name, text in key_texts()}
    return Zone(
        "com",
        {
            "example": {"TXT": '"v=spf1 ip4:192.0.2.1 -all exp=e.example.com"'},
            "e.example": {"TXT": '"not from %{i}"'},
            "_dmarc.example": {"TXT": '"v=DMARC1; p=quarantine; sp=reject"'},
            "mx.example": {"A": "192.0.2.1"},
        }
        | keys,
    )


def key_texts():
    return [(name, text.decode()) for name, text in records().items()]


def reverse() -> Zone:
    return Zone("2.0.192.in-addr.arpa", {"1": {"PTR": "mx.example.com."}})


@pytest.fixture(scope="module")
def server():
    with dns(zone(), reverse()) as address:
        yield address


@pytest.fixture
def verify(tmp_path: Path, server: str):
    def verify(octets: bytes, *options: str) -> Result:
        path = tmp_path / "message.eml"
        path.write_bytes(octets)
        return CliRunner().invoke(main, ["auth", "verify", str(path), "--dns", server, *FROM_ADA, *options])

    return verify


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_verify_for_programs(verify, line_end: bytes) -> None:
    result = verify(signed({}).replace(b"\r\n", line_end), "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert told["spf"] == {"result": "pass", "domain": "example.com", "helo": "none", "explanation": ""}
    assert [(d["result"], d["domain"], d["selector"]) for d in told["dkim"]] == [("pass", "example.com", "rsa")]
    assert told["arc"] == {"result": "none", "oldest_pass": None}
    assert told["dmarc"] == {
        "result": "pass", "policy": "quarantine", "disposition": "none", "domain": "example.com"
    }  # fmt: skip
    assert told["authentication_results"].startswith("localhost; spf=pass (ip4:192.0.2.1 of example.com) smtp.mail")


def test_verify_for_people(verify) -> None:
    result = verify(letter(HEADER), "--client-ip", "192.0.2.9", "--authserv-id", "mx.example.org")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "Authentication-Results: mx.example.org;"
    assert any("dmarc=fail" in line for line in lines)


def test_an_explanation(verify) -> None:
    told = json.loads(verify(letter(HEADER), "--client-ip", "::ffff:192.0.2.9", "--json").stdout)
    assert (told["spf"]["result"], told["spf"]["explanation"]) == ("fail", "not from 192.0.2.9")
    assert (told["dmarc"]["result"], told["dmarc"]["disposition"]) == ("fail", "quarantine")


def test_the_null_sender_in_two_spellings(verify) -> None:
    for sender in ("", "<>"):
        told = json.loads(verify(letter(HEADER), "--mail-from", sender, "--json").stdout)
        assert (told["spf"]["domain"], told["spf"]["result"]) == ("mx.example.com", "none")


@pytest.mark.parametrize("options", [["--client-ip", "x"], ["--dns", "nowhere"], ["--dns", "127.0.0.1:x"]])
def test_what_cannot_be_used(verify, options: list[str]) -> None:
    result = verify(letter(HEADER), *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")


JUDGED = [
    (["--from", "example.com", "--spf", "mail.example.com"], ("pass", "quarantine", "none", "example.com")),
    (
        ["--from", "a.example.com", "--dkim", "x.test", "--dkim", "b.example.com"],
        ("pass", "reject", "none", "example.com"),
    ),
    (["--from", "a.example.com"], ("fail", "reject", "reject", "example.com")),
    (["--from", "a.example.com", "--method", "public-suffix"], ("fail", "reject", "reject", "example.com")),
    (["--from", "other.com", "--spf", "other.com"], ("none", "none", "none", "other.com")),
    (["--from", "elsewhere.test"], ("temperror", "none", "none", "elsewhere.test")),  # refused by this server
]


@pytest.mark.parametrize(("options", "wanted"), JUDGED)
def test_dmarc(server: str, options: list[str], wanted: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, ["auth", "dmarc", "--dns", server, "--json", *options])
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert (told["result"], told["policy"], told["disposition"], told["domain"]) == wanted
    assert wanted[0] in CliRunner().invoke(main, ["auth", "dmarc", "--dns", server, *options]).stdout


def test_it_needs_no_configuration_and_loads_no_server(tmp_path: Path, server: str) -> None:
    script = (
        "import sys; from engine.cli import main\n"
        f"try: main(['auth', 'dmarc', '--from', 'example.com', '--dns', '{server}', '--json'])\n"
        "finally: print(sorted({'zmq', 'lmdb', 'cryptography', 'rich', 'publicsuffixlist'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False, env=environment
    )
    assert json.loads(done.stdout.splitlines()[0])["result"] == "fail"
    assert done.stdout.splitlines()[1] == "[]"


# the openspf suite, with its zones on a server


def served(data) -> list[Zone]:
    """The zone of a scenario, all of it under the root. What is to time out fails at once."""
    root = Zone(".")
    for name, entries in data.items():
        pairs = [pair for entry in entries if entry != "TIMEOUT" for pair in entry.items()]
        has_txt = any(kind == "TXT" for kind, _ in pairs)
        texts: dict[str, list[str]] = {}
        for kind, value in pairs:
            rdtype = "TXT" if kind == "SPF" and not has_txt else kind
            if value != "NONE" and rdtype != "SPF":
                texts.setdefault(rdtype, []).append(presented(rdtype, value))
        owner = name.replace(" ", "\\032")
        for rdtype, several in texts.items():
            root.set(f"{owner}.", rdtype, *several)
        if "TIMEOUT" in entries:
            for rdtype in {"A", "AAAA", "MX", "PTR", "TXT"} - set(texts):
                root.fail(f"{owner}.", Fault.SERVFAIL, rdtype)
    return [root]


def presented(rdtype: str, value) -> str:
    if rdtype == "TXT":
        pieces = [value] if isinstance(value, str) else value or [""]
        return " ".join('"' + "".join(escaped(c) for c in piece) + '"' for piece in pieces)
    if rdtype == "MX":
        return f"{value[0]} {dotted(value[1])}"
    return dotted(value) if rdtype in ("PTR", "CNAME") else value


def escaped(character: str) -> str:
    return character if character.isalnum() else f"\\{ord(character):03}"


def dotted(name: str) -> str:
    return name if name.endswith(".") else f"{name}."


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SUITE, ids=lambda scenario: scenario["description"])
def test_the_openspf_suite(scenario, tmp_path: Path) -> None:
    (tmp_path / "message.eml").write_bytes(letter(HEADER))
    with dns(*served(scenario["zonedata"])) as address:
        for name, case in scenario["tests"].items():
            client = ["--client-ip", case["host"], "--helo", case["helo"], "--mail-from", case["mailfrom"]]
            command = ["auth", "verify", str(tmp_path / "message.eml"), "--json", "--dns", address, *client]
            result = CliRunner().invoke(main, command)
            assert result.exit_code == 0, (name, result.stderr)
            told = json.loads(result.stdout)["spf"]
            assert told["result"] in case["result"], name
            if "explanation" in case:
                assert told["explanation"] == case["explanation"].replace("DEFAULT", ""), name
