"""SCRAM: the examples of the RFCs, and what a client may get wrong."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols import scram
from engine.protocols.sasl import Challenge, Channel, Failure, KeysWanted, Offer, Proof, Scram
from engine.protocols.scram import Broken, Conversation, Key, Keys
from tests.support.costs import ITERATIONS
from tests.support.scram import Client

SALT, COUNT = b"salt of the name", 2
ANN = scram.key("pencil", SALT, COUNT)
OTHER = scram.key("pen", SALT, COUNT)
END_POINT = {"tls-server-end-point": b"the hash of a certificate"}


@dataclass(frozen=True)
class Example:
    """A dialogue of an RFC, both sides."""

    digest: str
    client_first: str
    server_nonce: str
    salt: str
    server_first: str
    client_final: str
    server_final: str


EXAMPLES = {
    "RFC 5802 5": Example(
        "sha1",
        "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        "3rfcNHYJY1ZVvWVs7j",
        "QSXCR+Q6sek8bf92",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    "RFC 7677 3": Example(
        "sha256",
        "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_the_examples_of_the_rfcs(example: Example) -> None:
    salt = base64.b64decode(example.salt)
    key = scram.key("pencil", salt, 4096, example.digest)
    conversation = Conversation({}, digest=example.digest, nonce=example.server_nonce)
    assert conversation.hear_first(example.client_first.encode()) == "user"
    assert conversation.first(Keys(salt, 4096, (key,))) == example.server_first.encode()
    assert conversation.hear_final(example.client_final.encode()) == key
    assert conversation.final() == example.server_final.encode()


def attempt(
    client: Client,
    *,
    mechanism: str = "SCRAM-SHA-256",
    bindings: Mapping[str, bytes] = {},
    keys: tuple[Key, ...] = (ANN,),
    last: bytes = b"",
) -> Proof | Failure:
    """A whole login, up to the question whether it may be."""
    exchange = Offer(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"), Channel(bindings)).begin(mechanism)
    assert isinstance(exchange, Scram)
    step = exchange.step(client.first)
    if isinstance(step, Failure):
        return step
    assert step == KeysWanted(mechanism, "ann")
    step = exchange.step(client.final(exchange.take(Keys(SALT, COUNT, keys)).data))
    if isinstance(step, Challenge):
        assert step.data == b"v=" + base64.b64encode(client.signature)
        step = exchange.step(last)
    assert isinstance(step, Proof | Failure)
    return step


def test_the_right_password_is_proven() -> None:
    assert attempt(Client("ann", "pencil")) == Proof("SCRAM-SHA-256", "ann", ANN)


def test_any_of_several_passwords_will_do() -> None:
    assert attempt(Client("ann", "pen"), keys=(ANN, OTHER)) == Proof("SCRAM-SHA-256", "ann", OTHER)


def test_the_last_word_of_a_client_that_has_proved_it_does_not_matter() -> None:
    """PHP's Net_SMTP, and so Roundcube, says NOOP there, which is taken for Base64."""
    said = base64.b64decode(b"NOOP")
    assert attempt(Client("ann", "pencil"), last=said) == Proof("SCRAM-SHA-256", "ann", ANN)
    assert attempt(Client("ann", "pencils"), last=said) == Proof("SCRAM-SHA-256", "ann", None)


def test_a_wrong_password_is_not() -> None:
    assert attempt(Client("ann", "pencils")) == Proof("SCRAM-SHA-256", "ann", None)


def test_the_channel_is_bound() -> None:
    client = Client("ann", "pencil", "p=tls-server-end-point,,", END_POINT["tls-server-end-point"])
    assert attempt(client, mechanism="SCRAM-SHA-256-PLUS", bindings=END_POINT) == Proof(
        "SCRAM-SHA-256-PLUS", "ann", ANN
    )


# Who is in between has another certificate; or hides -PLUS from the client; or the client mixes things up.
NOT_BOUND = [
    (
        Client("ann", "pencil", "p=tls-server-end-point,,", b"another certificate"),
        "SCRAM-SHA-256-PLUS",
        "is another one",
    ),
    (Client("ann", "pencil", "p=tls-unique,,", b"x"), "SCRAM-SHA-256-PLUS", "not supported"),
    (Client("ann", "pencil"), "SCRAM-SHA-256-PLUS", "do not belong"),
    (Client("ann", "pencil", "p=tls-server-end-point,,", b"x"), "SCRAM-SHA-256", "do not belong"),
    (Client("ann", "pencil", "y,,"), "SCRAM-SHA-256", "in between"),
]


@pytest.mark.parametrize(("client", "mechanism", "why"), NOT_BOUND)
def test_a_channel_that_is_not_bound_as_it_should(client: Client, mechanism: str, why: str) -> None:
    step = attempt(client, mechanism=mechanism, bindings=END_POINT)
    assert isinstance(step, Failure)
    assert why in step.text


def test_a_client_that_could_bind_may_say_so_where_we_cannot() -> None:
    assert attempt(Client("ann", "pencil", "y,,")) == Proof("SCRAM-SHA-256", "ann", ANN)
    assert Offer(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")).names == ("SCRAM-SHA-256",)


def test_where_plus_is_not_wanted_the_same_holds_under_tls() -> None:
    exchange = Offer(("SCRAM-SHA-256",), Channel(END_POINT)).begin("SCRAM-SHA-256")
    assert exchange.step(b"y,,n=ann,r=x") == KeysWanted("SCRAM-SHA-256", "ann")


@pytest.mark.parametrize(
    ("first", "login"),
    [
        (b"n,,n=a=2Cb=3Dc,r=x", "a,b=c"),
        ("n,,n=jürgen,r=x".encode(), "jürgen"),
        (b"n,a=ann,n=ann,r=x,ext=1", "ann"),
    ],
)
def test_names(first: bytes, login: str) -> None:
    assert Conversation({}).hear_first(first) == login


@pytest.mark.parametrize(
    "first",
    [
        b"", b"n,,", b"n=ann,r=x", b"x,,n=ann,r=x", b"n,,n=,r=x", b"n,,n=ann,r=", b"n,,m=1,n=ann,r=x", b"n,,n=a=20,r=x",
        b"n,a=eve,n=ann,r=x", b"n,,n=a\0,r=x", b"n,,n=\xff,r=x", b"p=,,n=ann,r=x", b"n,,n=ann,r=a b",
    ],
)  # fmt: skip
def test_a_first_message_that_is_none(first: bytes) -> None:
    with pytest.raises(Broken):
        Conversation({}).hear_first(first)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"c=", b"d=", "no client-final-message"),
        (b",p=", b",q=", "no client-final-message"),
        (b"c=biws", b"c=eSws", "channel binding"),
        (b"c=biws", b"c=!", "base64"),
        (b"clientnonce", b"anothernonce", "nonce"),
        (b",p=", b",p=!", "base64"),
    ],
)
def test_a_last_message_that_is_wrong(old: bytes, new: bytes, why: str) -> None:
    conversation, client = Conversation({}), Client("ann", "pencil")
    conversation.hear_first(client.first)
    final = client.final(conversation.first(Keys(SALT, COUNT, (ANN,))))
    with pytest.raises(Broken, match=why):
        conversation.hear_final(final.replace(old, new))


def test_a_proof_of_another_length_is_only_wrong() -> None:
    conversation, client = Conversation({}), Client("ann", "pencil")
    conversation.hear_first(client.first)
    final = client.final(conversation.first(Keys(SALT, COUNT, (ANN,))))
    assert conversation.hear_final(final[: final.index(b",p=")] + b",p=AAAA") is None


def test_what_was_seen_once_proves_nothing_the_next_time() -> None:
    seen, client = Conversation({}), Client("ann", "pencil")
    seen.hear_first(client.first)
    final = client.final(seen.first(Keys(SALT, COUNT, (ANN,))))
    again = Conversation({})
    again.hear_first(client.first)
    again.first(Keys(SALT, COUNT, (ANN,)))
    with pytest.raises(Broken, match="nonce"):
        again.hear_final(final)


def test_a_password_is_prepared_as_clients_do() -> None:
    """RFC 4013 3: a soft hyphen is nothing, a no-break space a space, a Roman nine IX."""
    assert (
        scram.key("I\u00adX\u00a0x", SALT, COUNT)
        == scram.key("\u2168 x", SALT, COUNT)
        == scram.key("IX x", SALT, COUNT)
    )


def test_no_key_shows() -> None:
    assert "b'" not in repr(ANN)


@given(st.lists(st.binary() | st.sampled_from([b"n,,n=ann,r=x", b"c=biws,r=x,p=AAAA", b""]), max_size=4))
def test_nothing_raises(responses: list[bytes]) -> None:
    exchange = Offer(("SCRAM-SHA-256",)).begin("SCRAM-SHA-256")
    assert isinstance(exchange, Scram)
    for response in responses:
        if isinstance(exchange.step(response), KeysWanted):
            exchange.take(Keys(SALT, COUNT, (ANN,)))


def test_keys_as_postgresql_writes_them() -> None:
    text = scram.verifier("pencil", b"\x01" * 16, 4096)
    assert text.startswith("SCRAM-SHA-256$4096:AQEBAQEBAQEBAQEBAQEBAQ==$")
    keys = scram.parse_verifier(text)
    assert keys == scram.Keys(b"\x01" * 16, 4096, (scram.key("pencil", b"\x01" * 16, 4096),))


@pytest.mark.parametrize(
    "text", ["", "md5abc", "SCRAM-SHA-256$4096:AQ==$AQ==", "SCRAM-SHA-256$x:AQ==$AQ==:AQ==", "SCRAM-SHA-256$1:A$A:A"]
)
def test_what_are_no_keys(text: str) -> None:
    with pytest.raises(ValueError):
        scram.parse_verifier(text)


def test_cyrus_sasl_computes_as_many_iterations_as_we_want() -> None:
    assert 4096 <= ITERATIONS <= 0x10000  # MIN_ITERATION_COUNTER and MAX_ITERATION_COUNTER of its plugins/scram.c
