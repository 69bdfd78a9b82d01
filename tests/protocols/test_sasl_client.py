"""SASL, the client's side, against our own server's side and the examples of the RFCs."""

import base64

import pytest

from engine.protocols import sasl, sasl_client, scram
from engine.protocols.sasl_client import External, Login, LoginError, Password, Plain, Scram, begin

ANN = Password("ann@example.org", "secret")
USER = Password("user", "pencil")


def test_the_example_of_rfc_7677() -> None:
    exchange = Scram(USER, "sha256", nonce="rOprNGfwEbeRWgbNEkqO")
    assert exchange.initial() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    final = exchange.answer(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    assert final == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert not exchange.is_proven
    assert exchange.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""
    assert exchange.is_proven


def test_the_example_of_rfc_5802() -> None:
    exchange = Scram(USER, "sha1", nonce="fyko+d2lbbFgONRv9qkxdawL")
    final = exchange.answer(b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096")
    assert final == b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
    assert exchange.answer(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=") == b""
    assert exchange.is_proven


@pytest.mark.parametrize("offered", [["SCRAM-SHA-256"], ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]])
@pytest.mark.parametrize("name", ["ann@example.org", "a=n,n", "änn"])
def test_with_our_own_server(name: str, offered: list[str]) -> None:
    bindings = {"tls-server-end-point": b"hash"}
    who = Password(name, "pässword")
    begun = begin(who, offered, bindings)
    assert begun is not None
    mechanism, client = begun
    assert mechanism == offered[-1]
    server = sasl.Offer(offered, sasl.Channel(bindings)).begin(mechanism)
    assert isinstance(server, sasl.Scram)
    step = server.step(client.initial())
    assert step == sasl.KeysWanted(mechanism, name)
    challenge = server.take(scram.parse_verifier(scram.verifier("pässword", b"salt", 4096)))
    step = server.step(client.answer(challenge.data))
    assert isinstance(step, sasl.Challenge)
    proof = server.step(client.answer(step.data))
    assert isinstance(proof, sasl.Proof)
    assert proof.key is not None
    assert client.is_proven


@pytest.mark.parametrize(
    ("challenge", "why"),
    [
        (b"r=mine-and-theirs,s=c2FsdA==,i=1", "1 iterations"),
        (b"r=mine-and-theirs,s=c2FsdA==,i=4095", "4095 iterations"),
        (b"r=mine-and-theirs,s=c2FsdA==,i=2000000000", "2000000000 iterations"),
        (b"r=mine,s=c2FsdA==,i=4096", "nonce"),
        (b"r=another,s=c2FsdA==,i=4096", "nonce"),
        (b"r=mine-and-theirs,s=c2FsdA,i=4096", "none of SCRAM's"),
        (b"r=mine-and-theirs,i=4096", "none of SCRAM's"),
        (b"m=ext,r=mine-and-theirs,s=c2FsdA==,i=4096", "none of SCRAM's"),
        (b"\xff", "none of SCRAM's"),
        (b"", "none of SCRAM's"),
    ],
)
def test_a_server_that_breaks_the_rules_of_scram(challenge: bytes, why: str) -> None:
    exchange = Scram(USER, "sha256", nonce="mine")
    with pytest.raises(LoginError, match=why):
        exchange.answer(challenge)
    assert not exchange.is_proven


@pytest.mark.parametrize(
    ("final", "why"),
    [
        (b"v=" + base64.b64encode(32 * b"x"), "does not know the password either"),
        (b"v=", "none of SCRAM's"),
        (b"v=x", "none of SCRAM's"),
        (b"e=other-error", "other-error"),
        (b"", "none of SCRAM's"),
    ],
)
def test_a_server_that_cannot_prove_itself(final: bytes, why: str) -> None:
    exchange = Scram(USER, "sha256", nonce="mine")
    exchange.answer(b"r=mine-and-theirs,s=c2FsdA==,i=4096")
    with pytest.raises(LoginError, match=why):
        exchange.answer(final)
    assert not exchange.is_proven
    with pytest.raises(LoginError, match="over"):
        exchange.answer(b"")


def test_plain_login_and_external() -> None:
    assert sasl.Plain().step(Plain(ANN).initial()) == sasl.Credentials("PLAIN", "ann@example.org", "secret")
    login = Login(ANN)
    assert [login.initial(), login.answer(b"Username:"), login.answer(b"Password:")] == [
        None,
        b"ann@example.org",
        b"secret",
    ]
    with pytest.raises(LoginError):
        login.answer(b"More:")
    assert External(Password()).initial() == b""


def test_a_master_names_whose_mail_it_is() -> None:
    exchange = Plain(Password("root", "secret"), "ann")
    assert exchange.initial() == b"ann\0root\0secret"
    with pytest.raises(LoginError):
        exchange.answer(b"more")


@pytest.mark.parametrize(
    ("offered", "bindings", "chosen"),
    [
        ("PLAIN LOGIN", {}, "PLAIN"),
        ("LOGIN", {}, "LOGIN"),
        ("PLAIN SCRAM-SHA-1", {}, "SCRAM-SHA-1"),
        ("PLAIN SCRAM-SHA-1 SCRAM-SHA-256", {}, "SCRAM-SHA-256"),
        ("SCRAM-SHA-512 SCRAM-SHA-256-PLUS", {"tls-exporter": b"x"}, "SCRAM-SHA-256-PLUS"),
        ("SCRAM-SHA-512 SCRAM-SHA-256-PLUS", {}, "SCRAM-SHA-512"),
        ("EXTERNAL PLAIN", {}, "PLAIN"),
    ],
)
def test_the_best_on_offer(offered: str, bindings: dict[str, bytes], chosen: str) -> None:
    begun = begin(ANN, offered.split(), bindings)
    assert begun is not None
    assert begun[0] == chosen


def test_who_could_bind_says_so() -> None:
    begun = begin(ANN, ["SCRAM-SHA-256"], {"tls-exporter": b"x"})
    assert begun is not None
    assert (begun[1].initial() or b"").startswith(b"y,,")


def test_nothing_that_we_can() -> None:
    assert begin(ANN, ["GSSAPI", "CRAM-MD5"], {}) is None
    assert begin(Password("ann"), ["PLAIN", "EXTERNAL"], {}) is None
    begun = begin(Password(), ["PLAIN", "EXTERNAL"], {}, by_certificate=True)
    assert begun is not None
    assert begun[0] == "EXTERNAL"


def test_a_password_never_shows() -> None:
    assert "secret" not in repr(ANN)
    assert "secret" not in repr(sasl_client._Keys(b"secret", b"secret"))
