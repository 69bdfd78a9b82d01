"""ValiMail's arc_test_suite: its messages, signed by its own keys, and its seals."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.authentication.arc import validate_arc
from engine.authentication.fields import split_message, with_crlf
from engine.cli import main
from tests.authentication.letters import NOW
from tests.authentication.zone import DATA, Asked

DIFFERENT = {
    "ams_fields_a_sha1": "fail",  # RFC 8301 3.1 has put SHA-1 out of use since
    "as_fields_a_sha1": "fail",
    # RFC 6376 3.5 reads a signature without c= as simple, the drafts of RFC 8617 as relaxed: it may be either. The
    # suite itself has had both answers.
    "ams_fields_c_na": "pass",
}
"""Cases that we see otherwise."""


def cases(name: str) -> dict[str, tuple[dict[str, Any], dict[str, str]]]:
    suites = json.loads((DATA / name).read_text())
    return {case: (suite, test) for suite in suites for case, test in suite["tests"].items()}


VALIDATION = cases("arc-validation-tests.json")
SEALING = cases("arc-sign-tests.json")


@pytest.mark.parametrize("case", VALIDATION)
async def test_validation(case: str) -> None:
    suite, test = VALIDATION[case]
    zone = Asked({name: text.encode() for name, text in suite["txt-records"].items()})
    fields, body = split_message([with_crlf(test["message"].encode())])
    expected = test["cv"].lower() or "fail"  # it leaves the answer out where a seal itself says cv=fail
    assert (await validate_arc(fields, body, zone, NOW)).result == DIFFERENT.get(case, expected)


@pytest.mark.parametrize("case", SEALING)
def test_sealing(case: str, tmp_path: Path) -> None:
    """All tags but those that depend on which fields we sign, and how we fold our own."""
    suite, test = SEALING[case]
    (tmp_path / "key.pem").write_text(suite["privatekey"])
    (tmp_path / "message.eml").write_text(test["message"])
    command = ["arc", "seal", str(tmp_path / "message.eml"), "--key", str(tmp_path / "key.pem")]
    command += ["--domain", suite["domain"], "--selector", suite["sel"]]
    command += ["--authserv-id", test["srv-id"], "--timestamp", test["t"]]
    printed = CliRunner().invoke(main, command).stdout_bytes
    octets = test["message"].encode()
    assert printed.endswith(octets)
    added, _ = split_message([with_crlf(printed.removesuffix(octets))])
    found = {name: [tags(field.value.decode()) for field in added.named(name)] for name in FIELDS.values()}
    assert found == {name: [tags(test[key])] if test[key] else [] for key, name in FIELDS.items()}


FIELDS = {"AS": "arc-seal", "AMS": "arc-message-signature", "AAR": "arc-authentication-results"}


def tags(text: str) -> set[str]:
    found = "".join(text.split()).split(";")
    return {tag for tag in found if tag and tag.partition("=")[0] not in {"b", "h", "bh"}}
