"""`postroad arc seal`: the message that is printed holds, whatever ends its lines."""

from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from engine.authentication.arc import ArcResult, validate_arc
from engine.authentication.fields import split_message, with_crlf
from engine.cli import main
from engine.net.zone import Zone
from tests.authentication.letters import HEADER, NOW, chain, ed25519, letter, record, records, rsa, sealed
from tests.authentication.zone import Asked
from tests.support.background import dns

RESULTS = b"Authentication-Results: mx.example.com; arc=%s;\r\n spf=pass\r\n"


@pytest.fixture
def run(tmp_path: Path):
    message, key = tmp_path / "message.eml", tmp_path / "key.pem"
    key.write_bytes(rsa().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))

    def run(octets: bytes, *options: str) -> Result:
        message.write_bytes(octets)
        usual = ["--domain", "example.com", "--selector", "rsa", "--authserv-id", "mx.example.com"]
        return CliRunner().invoke(main, ["arc", "seal", str(message), "--key", str(key), *usual, *options])

    run.key = key  # type: ignore[attr-defined]
    return run


def validated(octets: bytes) -> ArcResult:
    fields, body = split_message([with_crlf(octets)])
    return trio.run(validate_arc, fields, body, Asked(records()), NOW)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
@pytest.mark.parametrize(("sets", "status"), [(0, b"none"), (1, b"pass"), (3, b"pass")])
def test_seal(run, line_end: bytes, sets: int, status: bytes) -> None:
    octets = letter([RESULTS % status, *chain(sets)]).replace(b"\r\n", line_end)
    result = run(octets, "--timestamp", "12345")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes.endswith(octets)
    assert result.stdout_bytes.count(b"\n") == result.stdout_bytes.count(line_end)
    found = validated(result.stdout_bytes)
    assert (found.result, len(found.sets)) == ("pass", sets + 1)
    assert found.sets[-1].results.split() == ["mx.example.com;", f"arc={status.decode()};", "spf=pass"]
    assert b"t=12345;" in result.stdout_bytes


def test_ed25519(run) -> None:
    run.key.write_bytes(ed25519().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    result = run(letter(HEADER), "--selector", "ed")
    assert validated(result.stdout_bytes).result == "pass"


def test_a_chain_that_was_broken(run) -> None:
    result = run(letter([RESULTS % b"fail", *chain(1)]))
    assert b"ARC-Seal: i=2; " in result.stdout_bytes
    assert b" cv=fail;" in result.stdout_bytes


def test_a_chain_that_ended(run) -> None:
    octets = letter([RESULTS % b"fail", *sealed(chain(1), 2, seal={"cv": "fail"})])
    result = run(octets)
    assert (result.exit_code, result.stdout_bytes) == (0, octets)
    assert "no set was added" in result.stderr


@pytest.mark.parametrize(("subject", "status"), [(b"Dinner", b"pass"), (b"Supper", b"fail")])
def test_a_chain_of_which_nothing_is_said_is_looked_at(run, subject: bytes, status: bytes) -> None:
    key = record(rsa()).decode()
    zone = Zone("example.com", {"rsa._domainkey": {"TXT": f'"{key[:200]}" "{key[200:]}"'}})
    with dns(zone) as address:
        result = run(letter(chain(1)).replace(b"Dinner", subject), "--dns", address)
    assert b" cv=" + status in result.stdout_bytes


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--dns", "nowhere"], "is no DNS server"),
        (["--domain", "ü" * 300], "too long"),
        (["--key", __file__], "no private key"),
    ],
)
def test_what_cannot_be_used(run, options: list[str], text: str) -> None:
    result = run(letter(chain(1)), *options)
    assert (result.exit_code, result.stdout_bytes) == (2, b"")
    assert text in result.stderr


def test_results_that_contradict_the_message(run) -> None:
    result = run(letter([RESULTS % b"pass", *chain(2)[1:]]))
    assert (result.exit_code, result.stdout_bytes) == (2, b"")
    assert "not one field of each kind" in result.stderr
