"""The domains of From, by RFC 5322 3.4 and 4.4 and Appendix A."""

from contextlib import suppress

import pytest

from engine.authentication.author import author_domains
from engine.authentication.fields import Fields

GOOD = [
    ("John Doe <jdoe@machine.example>", ["machine.example"]),
    ("jdoe@Machine.EXAMPLE", ["machine.example"]),
    ('"Joe Q. Public" <john.q.public@example.com>', ["example.com"]),
    ('Who? <one@y.test>,\r\n "Giant; \\"Big\\" Box" <sysservices@example.net>', ["y.test", "example.net"]),
    ("A Group:Ed Jones <joe@where.test>,joe@one.test,John <jdoe@two.test>;", ["where.test", "one.test", "two.test"]),
    ("Undisclosed recipients:;", []),
    (
        "Pete(A nice \\) chap) <pete(his account)@silly.test(his (own) host)>",
        ["silly.test"],
    ),
    ("Joe Q. Public <john . q .  public@example . com>", ["example.com"]),
    ("Mary <@node.test,@other.test:mary@example.net>", ["example.net"]),
    ("jdoe@[192.0.2.1]", ["[192.0.2.1]"]),
    ('"a@b.test" <c@d.test>', ["d.test"]),
    ("a@b.test <c@d.test>", ["d.test"]),
    ('"<a@b.test>" <c@d.test>', ["d.test"]),
    ("Doe, John <j@x.test>", ["x.test"]),
    ("=?utf-8?q?=3Ca=40b=2Etest=3E?= <c@d.test>", ["d.test"]),
    ("Jörg <jörg@bücher.test>", ["xn--bcher-kva.test"]),
    ('"quoted local"@x.test', ["x.test"]),
    ("a@x.test,,b@y.test,", ["x.test", "y.test"]),
    ("", []),
    ("nobody", []),
]

DOUBTFUL = [
    "<a@b.test> <c@d.test>",
    "<a@b.test> c@d.test",
    "a@b.test>",
    "<a@b.test",
    "a@b.test@c.test",
    "@b.test",
    "a@",
    '"a@b.test',
    "a@b.test (",
    "<>",
    "<nobody>",
    "a b:c:d@x.test;",
    "a@x.test;",
    "a@x..test",
    "a@x.test\\",
    "a@[192.0.2.1",
    "a@b@[x]",
    "a@x/y.test",
]


def domains(*values: str) -> list[str]:
    octets = "".join(f"From: {value}\r\n" for value in values).encode()
    return list(author_domains(Fields.parse(octets)))


@pytest.mark.parametrize(("value", "found"), GOOD)
def test_domains(value: str, found: list[str]) -> None:
    assert domains(value) == found


@pytest.mark.parametrize("value", DOUBTFUL)
def test_doubt(value: str) -> None:
    with pytest.raises(ValueError, match="From"):
        domains(value)


def test_several_fields() -> None:
    assert domains("a@one.test", "b@two.test, c@one.test") == ["one.test", "two.test", "one.test"]
    assert domains() == []


def test_a_name_in_any_charset() -> None:
    assert author_domains(Fields.parse(b"From: J\xf6rg <a@b.test>\r\n")) == ("b.test",)
    with pytest.raises(ValueError, match="domain"):
        author_domains(Fields.parse(b"From: <a@b\xf6.test>\r\n"))


@pytest.mark.parametrize("text", ["(", "<", '"', "a,", "@"])
def test_nonsense_of_any_length(text: str) -> None:
    with suppress(ValueError):
        assert domains(text * (8000 // len(text))) == []
    with pytest.raises(ValueError, match="more than 16384 octets"):
        domains(*["a@b.test"] * 2000)
