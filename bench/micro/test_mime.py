"""What is read of a message at its delivery to a mailbox, and when a client asks."""

import pytest

from bench.micro.measure import Measure
from bench.micro.samples import KIB, letter
from engine.mime.bodystructure import bodystructure
from engine.mime.digest import digest, dump, load
from engine.mime.structure import structure
from engine.mime.words import decoded

pytestmark = pytest.mark.benchmark(group="Reading a message for a mailbox")

PLAIN = letter(4 * KIB)

_ALTERNATIVES = b"""\
Content-Type: multipart/mixed; boundary="----=_Part_1"

------=_Part_1
Content-Type: multipart/alternative; boundary="----=_Part_2"

------=_Part_2
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe from the coast
------=_Part_2
Content-Type: text/html; charset="utf-8"
Content-Transfer-Encoding: quoted-printable

<p>Gr=C3=BC=C3=9Fe from the coast</p>
------=_Part_2--
------=_Part_1
Content-Type: application/pdf; name="coast.pdf"
Content-Disposition: attachment; filename="coast.pdf"
Content-Transfer-Encoding: base64

""".replace(b"\n", b"\r\n")


def multipart(size: int) -> bytes:
    """A letter as text and HTML, with an attachment that makes it as large as that."""
    header = PLAIN[: PLAIN.index(b"Content-Type:")]
    octets = header + _ALTERNATIVES
    return octets + (b"JVBERi0xLjcKJeLjz9MKMSAwIG9iago8PC9UeXBlL0NhdGFsb2cvUGFnZXMgMiAwIFI+PgplbmRv\r\n" * 900)[
        : size - len(octets) - 22
    ] + b"\r\n------=_Part_1--\r\n\r\n"  # fmt: skip


def forms(octets: bytes) -> tuple[bytes, bytes]:
    message = structure([octets])
    return message.envelope, bodystructure(message)


@pytest.mark.parametrize(
    ("name", "octets"), [("a plain letter of 4 KiB", PLAIN), ("64 KiB in parts", multipart(64 * KIB))]
)
def test_structure(measure: Measure, name: str, octets: bytes) -> None:
    envelope, body = measure(f"structure, ENVELOPE, BODYSTRUCTURE: {name}", forms, octets)
    assert b'"Ada Sender"' in envelope
    assert body.count(b'"text"') == (3 if b"pdf" in octets else 1) - (b"pdf" in octets)


@pytest.mark.parametrize(
    ("name", "octets"), [("a plain letter of 4 KiB", PLAIN), ("64 KiB in parts", multipart(64 * KIB))]
)
def test_digest(measure: Measure, name: str, octets: bytes) -> None:
    stored = measure(f"digest to be stored: {name}", lambda: dump(digest(lambda: [octets], 0.0)))
    found = load(stored)
    assert found is not None
    assert found.preview.startswith(("Grüße from the coast", "The quick brown fox"))


def test_words(measure: Measure) -> None:
    text = "=?utf-8?b?R3LDvMOfZQ==?= " * (250 * KIB // 25)
    assert measure("encoded words of 250 KiB", decoded, text).startswith("GrüßeGrüße")
