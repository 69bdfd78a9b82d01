"""Certificates by name: which one a client gets, what is taken up from disk, and what is said about bad ones."""

import os
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from engine.net.certificates import Certificate, CertificateError, Pair, read_certificate
from engine.net.tls import CIPHERS, ServerTls
from tests.support.programs import put

AUTHORITY = trustme.CA()
DAY = timedelta(days=1)
NOW = datetime.now(UTC)


def issue(folder: Path, *names: str, **options: Any) -> Pair:
    """A pair in a folder of its own, as certbot would leave it."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = Pair(folder / "fullchain.pem", folder / "privkey.pem")
    put(AUTHORITY.issue_cert(*names, **options), pair.certificate, pair.key)
    return pair


def client(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, ciphers: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(context)
    context.check_hostname = False
    context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def shake(
    tls: ServerTls, name: str | None, asking: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None
) -> ssl.SSLObject:
    """The client's side of a handshake in memory, with the session tickets that follow it."""
    return shaken(tls.context, name, asking, session)[0]


def shaken(
    context: ssl.SSLContext | None,
    name: str | None,
    asking: ssl.SSLContext | None = None,
    session: ssl.SSLSession | None = None,
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both sides of it: the client's, then the server's."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    assert context is not None
    server = context.wrap_bio(to_server, to_client, server_side=True)
    asker = (asking or client()).wrap_bio(to_client, to_server, server_hostname=name, session=session)
    waiting = [asker, server]
    while waiting:
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    server.write(b"tickets came before this")
    asker.read(100)
    return asker, server


def names_got(tls: ServerTls, name: str | None, asking: ssl.SSLContext | None = None) -> set[str]:
    found: Any = shake(tls, name, asking).getpeercert()
    return {value for _, value in found["subjectAltName"]}


def opened(own: Pair | None = None, folders: Sequence[Path] = (), hostname: str = "mx.example.org") -> ServerTls:
    tls = ServerTls(own, folders, hostname)
    tls.look()
    return tls


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("mx.example.org", {"mx.example.org"}),
        ("MX.Example.ORG", {"mx.example.org"}),
        ("mail.example.net", {"mail.example.net", "pop.example.net"}),
        ("pop.example.net", {"mail.example.net", "pop.example.net"}),
        ("a.example.com", {"*.example.com"}),
        ("exact.example.com", {"exact.example.com"}),
        ("a.b.example.com", {"mx.example.org"}),  # a wildcard stands for one label (RFC 6125 6.4.3)
        ("example.com", {"mx.example.org"}),
        ("stranger.example", {"mx.example.org"}),
        (None, {"mx.example.org"}),
    ],
)
def test_the_certificate_for_a_name(tmp_path: Path, version: ssl.TLSVersion, asked: str | None, got: set[str]) -> None:
    own = issue(tmp_path / "own", "mx.example.org")
    for name, *more in (
        ("mail.example.net", "pop.example.net"),
        ("*.example.com",),
        ("exact.example.com",),
    ):
        issue(tmp_path / "more" / name, name, *more)
    tls = opened(own, [tmp_path / "more"])
    assert names_got(tls, asked, client(version)) == got


def test_the_default_without_one_of_our_own(tmp_path: Path) -> None:
    issue(tmp_path / "a", "a.example.org")
    issue(tmp_path / "m", "mx.example.org")
    assert names_got(opened(folders=[tmp_path]), None) == {"mx.example.org"}
    assert names_got(opened(folders=[tmp_path], hostname="other.example"), None) == {"a.example.org"}


def test_our_own_counts_for_its_names_and_else_the_one_that_lasts(tmp_path: Path) -> None:
    own = issue(tmp_path / "own", "mx.example.org", "own.example", not_after=NOW + 5 * DAY)
    issue(tmp_path / "more" / "1", "mx.example.org", "one.example", not_after=NOW + 50 * DAY)
    issue(tmp_path / "more" / "2", "mx.example.org", "one.example", "two.example", not_after=NOW + 60 * DAY)
    tls = opened(own, [tmp_path / "more"])
    assert names_got(tls, "mx.example.org") == {"mx.example.org", "own.example"}
    assert "two.example" in names_got(tls, "one.example")


@pytest.mark.parametrize("asked", ["mx.example.org", None])
def test_two_algorithms_for_one_name(tmp_path: Path, asked: str | None) -> None:
    """A client that knows no elliptic curves in certificates gets the other one."""
    issue(tmp_path / "ec", "mx.example.org", key_type=trustme.KeyType.ECDSA)
    issue(tmp_path / "rsa", "mx.example.org", key_type=trustme.KeyType.RSA)
    tls = opened(folders=[tmp_path])
    for kind in ("ECDSA", "RSA"):
        cipher = shake(tls, asked, client(ssl.TLSVersion.TLSv1_2, f"ECDHE-{kind}-AES128-GCM-SHA256")).cipher()
        assert cipher is not None
        assert kind in cipher[0]


def test_nothing_to_offer(tmp_path: Path) -> None:
    tls = opened(folders=[tmp_path / "absent"])
    assert (tls.context, tls.errors, tls.certificates) == (None, {}, [])
    issue(tmp_path / "absent" / "a", "a.example.org")
    assert [certificate.names for certificate in tls.look()] == [("a.example.org",)]
    assert names_got(tls, None) == {"a.example.org"}


def test_a_renewed_certificate_is_taken_up_and_old_contexts_stay_good(tmp_path: Path) -> None:
    own = issue(tmp_path / "own", "mx.example.org")
    tls = opened(own)
    assert tls.look() == []
    before = tls.context
    issue(tmp_path / "own", "mx.example.org", "new.example.org")
    assert [certificate.names for certificate in tls.look()] == [("mx.example.org", "new.example.org")]
    assert names_got(tls, "mx.example.org") == {"mx.example.org", "new.example.org"}
    after, tls.context = tls.context, before  # of a session that was told of STARTTLS before
    assert names_got(tls, "mx.example.org") == {"mx.example.org", "new.example.org"}
    tls.context = after
    assert tls.look() == []


def test_a_renewal_that_is_half_done_changes_nothing(tmp_path: Path) -> None:
    own = issue(tmp_path / "own", "mx.example.org")
    other = issue(tmp_path / "more" / "a", "a.example.org")
    tls = opened(own, [tmp_path / "more"])
    good = own.key.read_bytes()
    other.key.unlink()
    own.key.write_bytes(AUTHORITY.issue_cert("x.example").private_key_pem.bytes())
    assert tls.look() == []
    assert set(tls.errors) == {own.certificate, other.certificate}
    assert names_got(tls, "mx.example.org") == {"mx.example.org"}
    assert names_got(tls, "a.example.org") == {"a.example.org"}
    issue(tmp_path / "more" / "b", "b.example.org")
    tls.look()
    assert names_got(tls, "a.example.org") == {"a.example.org"}
    assert names_got(tls, "b.example.org") == {"b.example.org"}
    own.key.write_bytes(good)
    tls.look()
    assert set(tls.errors) == {other.certificate}


def test_a_bad_pair_in_a_folder_leaves_the_others(tmp_path: Path) -> None:
    issue(tmp_path / "a", "a.example.org")
    bad = issue(tmp_path / "b", "b.example.org")
    bad.certificate.write_text("nonsense")
    tls = opened(folders=[tmp_path])
    assert tls.errors == {bad.certificate: f"{bad.certificate} holds no certificate in PEM"}
    assert names_got(tls, "b.example.org") == {"a.example.org"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def test_a_session_is_resumed_by_a_ticket(tmp_path: Path, version: ssl.TLSVersion) -> None:
    own = issue(tmp_path / "own", "mx.example.org")
    issue(tmp_path / "more" / "a", "a.example.org")
    tls = opened(own, [tmp_path / "more"])
    for name in ("mx.example.org", "a.example.org"):
        asking = client(version)
        first = shake(tls, name, asking)
        assert not first.session_reused
        assert first.session is not None
        assert first.session.has_ticket
        assert shake(tls, name, asking, first.session).session_reused


def test_the_key_of_the_tickets_is_another_one_each_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = opened(issue(tmp_path, "mx.example.org"))
    asking = client()
    session = shake(tls, None, asking).session
    tomorrow = time.monotonic() + 86_500
    monkeypatch.setattr("time.monotonic", lambda: tomorrow)
    assert tls.look() == []
    assert not shake(tls, None, asking, session).session_reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=lambda version: version.name)
def test_old_versions_are_refused(tmp_path: Path, version: ssl.TLSVersion) -> None:
    tls = opened(issue(tmp_path, "mx.example.org"))
    with pytest.warns(DeprecationWarning, match="deprecated"):
        asking = client(version, "ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        shake(tls, None, asking)


def test_the_ciphers_are_those_of_the_list(tmp_path: Path) -> None:
    context = opened(issue(tmp_path, "mx.example.org")).context
    assert context is not None
    offered = {cipher["name"] for cipher in context.get_ciphers() if not cipher["name"].startswith("TLS_")}
    assert offered == set(CIPHERS.split(":"))


# -- the certificates of clients

PEOPLE, STRANGERS = trustme.CA(), trustme.CA()
ANN = "ann@example.org"
VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda one: one.name
)


def person(
    authority: trustme.CA | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, **options: Any
) -> ssl.SSLContext:
    asking = client(version)
    if authority is not None:
        authority.issue_cert(ANN, **options).configure_cert(asking)
    return asking


def seen(
    tls: ServerTls, asking: ssl.SSLContext, name: str = "a.example.org", *, people: bool = True
) -> dict[str, Any] | None:
    """What a listener knows of a client's certificate."""
    return shaken(tls.offered(people=people), name, asking)[1].getpeercert()


@pytest.fixture
def asking_tls(tmp_path: Path) -> ServerTls:
    own = issue(tmp_path / "own", "mx.example.org")
    issue(tmp_path / "more" / "a", "a.example.org")
    PEOPLE.cert_pem.write_to_path(tmp_path / "people.pem")
    tls = ServerTls(own, [tmp_path / "more"], "mx.example.org", tmp_path / "people.pem")
    tls.look()
    return tls


@VERSIONS
@pytest.mark.parametrize("name", ["mx.example.org", "a.example.org"])
def test_people_may_show_a_certificate(asking_tls: ServerTls, version: ssl.TLSVersion, name: str) -> None:
    certificate = seen(asking_tls, person(PEOPLE, version), name)
    assert certificate is not None
    assert certificate["subjectAltName"] == (("email", ANN),)
    assert not seen(asking_tls, person(None, version), name)
    with pytest.raises(ssl.SSLError):
        seen(asking_tls, person(STRANGERS, version), name)
    with pytest.raises(ssl.SSLError):
        seen(asking_tls, person(PEOPLE, version, not_after=NOW - DAY), name)


@VERSIONS
def test_other_servers_are_not_asked(asking_tls: ServerTls, version: ssl.TLSVersion) -> None:
    for authority in (PEOPLE, STRANGERS, None):
        assert not seen(asking_tls, person(authority, version), people=False)


@VERSIONS
def test_a_resumed_session_has_the_certificate_still(asking_tls: ServerTls, version: ssl.TLSVersion) -> None:
    asking, context = person(PEOPLE, version), asking_tls.offered(people=True)
    first, _ = shaken(context, None, asking)
    again, server = shaken(context, None, asking, first.session)
    assert again.session_reused
    assert server.getpeercert()
    again, server = shaken(asking_tls.offered(people=False), None, asking, first.session)
    assert not again.session_reused
    assert not server.getpeercert()


def test_other_authorities_are_taken_up(asking_tls: ServerTls, tmp_path: Path) -> None:
    asking = person(PEOPLE)
    session = shaken(asking_tls.offered(people=True), None, asking)[0].session
    STRANGERS.cert_pem.write_to_path(tmp_path / "people.pem")
    assert asking_tls.look() == []
    assert seen(asking_tls, person(STRANGERS))
    with pytest.raises(ssl.SSLError):
        shaken(asking_tls.offered(people=True), None, asking, session)


def test_an_authority_below_another_one_is_enough(asking_tls: ServerTls, tmp_path: Path) -> None:
    below = PEOPLE.create_child_ca()
    assert seen(asking_tls, person(below))
    below.cert_pem.write_to_path(tmp_path / "people.pem")
    asking_tls.look()
    assert seen(asking_tls, person(below))
    with pytest.raises(ssl.SSLError):
        seen(asking_tls, person(PEOPLE))


def test_authorities_that_cannot_be_read_leave_the_last_ones(asking_tls: ServerTls, tmp_path: Path) -> None:
    file = tmp_path / "people.pem"
    for spoil, why in (
        (lambda: file.write_text("nonsense"), f"{file} holds no certificate in PEM"),
        (file.unlink, f"cannot read {file}: no such file or directory"),
    ):
        spoil()
        asking_tls.look()
        assert asking_tls.errors == {file: why}
        before = asking_tls.context
        asking_tls.look()
        assert asking_tls.context is before
        assert seen(asking_tls, person(PEOPLE))
    file.write_bytes(PEOPLE.cert_pem.bytes() + b"\n# others\n" + STRANGERS.cert_pem.bytes())
    asking_tls.look()
    assert asking_tls.errors == {}
    assert seen(asking_tls, person(PEOPLE))
    assert seen(asking_tls, person(STRANGERS))


def test_other_authorities_count_for_a_certificate_that_is_broken_by_now(asking_tls: ServerTls, tmp_path: Path) -> None:
    (tmp_path / "more" / "a" / "privkey.pem").unlink()
    STRANGERS.cert_pem.write_to_path(tmp_path / "people.pem")
    asking_tls.look()
    with pytest.raises(ssl.SSLError):
        seen(asking_tls, person(PEOPLE), "a.example.org")
    assert seen(asking_tls, person(STRANGERS), "a.example.org")


# -- what is said about bad ones


def encrypted(path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda pair: pair.certificate.unlink(), "cannot read {certificate}: no such file or directory"),
        (lambda pair: pair.key.unlink(), "cannot read {key}: no such file or directory"),
        (lambda pair: pair.certificate.write_text(""), "{certificate} holds no certificate in PEM"),
        (lambda pair: pair.key.write_bytes(pair.certificate.read_bytes()), "{key} holds no private key in PEM"),
        (lambda pair: encrypted(pair.key), "{key} is encrypted; write it without a password"),
        (
            lambda pair: pair.key.write_bytes(AUTHORITY.issue_cert("x.example").private_key_pem.bytes()),
            "{certificate} and {key} cannot be used together: it is another one's key",
        ),
    ],
    ids=["no certificate", "no key", "empty", "no key in it", "encrypted", "another one's key"],
)
def test_a_pair_that_cannot_be_used(tmp_path: Path, spoil: Any, text: str) -> None:
    pair = issue(tmp_path, "mx.example.org")
    spoil(pair)
    with pytest.raises(CertificateError) as caught:
        read_certificate(pair)
    assert str(caught.value) == text.format(certificate=pair.certificate, key=pair.key)


def a_certificate(pair: Pair, begins: float, expires: float) -> Certificate:
    return Certificate(pair, (), "EC", begins * 86_400.0, expires * 86_400.0, b"")


@pytest.mark.parametrize(
    ("begins", "expires", "today", "flaw"),
    [
        (0, 90, 10, ""),
        (0, 90, 75.9, ""),
        (0, 90, 80, "expires on 1970-04-01, in 10 days"),
        (0, 90, 90, "expired on 1970-04-01"),
        (0, 6, 4.9, ""),  # short-lived: a sixth of its life
        (0, 6, 5.5, "expires on 1970-01-07, in 0 days"),
        (5, 90, 4, "is not valid before 1970-01-06"),
    ],
)
def test_what_is_said_about_its_time(tmp_path: Path, begins: float, expires: float, today: float, flaw: str) -> None:
    certificate = a_certificate(issue(tmp_path, "mx.example.org"), begins, expires)
    assert list(certificate.flaws(today * 86_400.0)) == ([flaw] if flaw else [])


def test_a_key_that_every_user_can_read(tmp_path: Path) -> None:
    certificate = a_certificate(issue(tmp_path, "mx.example.org"), 0, 90)
    certificate.pair.key.chmod(0o640)  # for a group that the server's user is in
    assert list(certificate.flaws(0)) == []
    certificate.pair.key.chmod(0o644)
    assert list(certificate.flaws(0)) == [
        f"has a key that every user can read; chmod o-rwx {certificate.pair.key}",
    ]


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    tls = opened(issue(tmp_path / "own", "mx.example.org"))
    before = os.listdir("/proc/self/fd")
    issue(tmp_path / "own", "mx.example.org")
    tls.look()
    assert len(os.listdir("/proc/self/fd")) == len(before)
