"""Keys in the data folder: their life from waiting to removal, and what is published of them."""

import os
import stat
import time
from pathlib import Path

import pytest

from engine.authentication.keys import KeyRecord, parse_record
from engine.net.dns import Resolver
from engine.net.zone import Zone, serve_zone
from engine.signing import KEPT, Keyring, KeyStore, Standing
from engine.signing.publishing import record, take_up, unpublished, zone_line

DOMAIN = "example.org"


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path)


def standings(store: KeyStore) -> dict[str, str]:
    return {key.selector: key.standing.value for key in store.find(DOMAIN)}


def test_a_pair_is_private_and_waits(store: KeyStore) -> None:
    made = store.make(DOMAIN, "a")
    assert {key.selector: key.signer().algorithm for key in made} == {
        "a-rsa": "rsa-sha256",
        "a-ed25519": "ed25519-sha256",
    }
    assert {key.standing for key in made} == {Standing.WAITING}
    for path in (store.folder, *store.folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    rsa = next(key for key in made if key.selector == "a-rsa").signer().key
    assert rsa.key_size == 2048  # type: ignore[union-attr]


def test_names(store: KeyStore) -> None:
    day = time.strftime("%Y%m%d", time.gmtime())
    assert [key.selector for key in store.make(DOMAIN)] == [f"{day}-ed25519", f"{day}-rsa"]
    assert [key.selector for key in store.make(DOMAIN)] == [f"{day}b-ed25519", f"{day}b-rsa"]
    with pytest.raises(ValueError, match="already"):
        store.make(DOMAIN, day)
    for name in ("../a", "A", "a_b", "-a", "a..b", "ä", "a" * 64):
        with pytest.raises(ValueError, match="no selector"):
            store.make(DOMAIN, name)


def test_what_else_lies_there_is_no_key(store: KeyStore) -> None:
    store.make(DOMAIN, "a")
    (store.folder / "notes.txt").write_text("hello")
    (store.folder / DOMAIN / "waiting" / "a-rsa.pem.new").write_text("half a key")
    assert [key.selector for key in store.find()] == ["a-ed25519", "a-rsa"]


def test_the_next_pair_retires_the_former(store: KeyStore) -> None:
    store.make(DOMAIN, "a")
    assert [key.selector for key in store.put_in_force(DOMAIN)] == ["a-ed25519", "a-rsa"]
    store.make(DOMAIN, "b")
    assert standings(store) == {"b-ed25519": "waiting", "b-rsa": "waiting", "a-ed25519": "signing", "a-rsa": "signing"}
    for key in store.find(DOMAIN):
        os.utime(key.path, (0, 0))
    assert [key.selector for key in store.put_in_force(DOMAIN)] == ["b-ed25519", "b-rsa"]
    assert standings(store) == {"b-ed25519": "signing", "b-rsa": "signing", "a-ed25519": "retired", "a-rsa": "retired"}
    for key in store.find(DOMAIN):
        assert key.since == pytest.approx(time.time(), abs=60)
        assert key.removable == (key.since + KEPT if key.standing is Standing.RETIRED else None)
    assert store.put_in_force(DOMAIN) == []
    assert standings(store)["b-rsa"] == "signing"


def test_what_is_published_is_read_back(store: KeyStore) -> None:
    for key in store.make(DOMAIN):
        signer = key.signer()
        found = parse_record(record(signer.key).encode())
        assert isinstance(found, KeyRecord)
        assert found.key == signer.key.public_key()
        assert found.refusal(signer.algorithm) is None


async def test_a_pair_is_taken_up_once_all_of_it_is_published(store: KeyStore, nursery) -> None:
    signers = [key.signer() for key in store.make(DOMAIN, "a")]
    other = store.make("example.net", "a")[0].signer()
    lines = [zone_line(signer) for signer in signers]
    address = await nursery.start(serve_zone, half := Zone.parse(f"$ORIGIN org.\n$TTL 0\n{lines[0]}\n"))
    ask = Resolver([address]).ask
    assert [await unpublished(ask, signer) for signer in signers] == [
        "",
        "there is no key a-rsa._domainkey.example.org",
    ]
    assert await take_up(store, ask, DOMAIN) == []
    half.set("a-rsa._domainkey.example", "TXT", zone_line(other).partition("TXT ")[2])
    ask = Resolver([address]).ask
    assert await unpublished(ask, signers[1]) == "the key is for ed25519, the signature is rsa-sha256"
    half.set("a-rsa._domainkey.example", "TXT", lines[1].partition("TXT ")[2])
    ask = Resolver([address]).ask
    assert [key.selector for key in await take_up(store, ask, DOMAIN)] == ["a-ed25519", "a-rsa"]
    assert standings(store) == {"a-ed25519": "signing", "a-rsa": "signing"}
    assert await take_up(store, ask, DOMAIN) == []


async def test_another_key_of_that_name_is_none(store: KeyStore, nursery) -> None:
    ours, other = store.make(DOMAIN, "a")[0].signer(), store.make("example.net", "a")[0].signer()
    zone = Zone("org", {"a-ed25519._domainkey.example": {"TXT": zone_line(other).partition("TXT ")[2]}})
    ask = Resolver([await nursery.start(serve_zone, zone)]).ask
    assert await unpublished(ask, ours) == "a-ed25519._domainkey.example.org holds another key"


def test_the_keyring_takes_up_what_changes(tmp_path: Path, store: KeyStore) -> None:
    ring = Keyring(tmp_path)
    ring.look()
    assert not ring
    assert ring.waiting == ()
    store.make(DOMAIN, "a")
    ring.look()
    assert not ring
    assert ring.waiting == (DOMAIN,)
    store.put_in_force(DOMAIN)
    ring.look()
    assert [signer.selector for signer in ring.signers(DOMAIN)] == ["a-rsa", "a-ed25519"]
    assert ring.waiting == ()
    before = ring.signers(DOMAIN)
    ring.look()
    assert ring.signers(DOMAIN)[0] is before[0]
    (store.folder / DOMAIN / "signing" / "a-rsa.pem").write_text("no key")
    ring.look()
    assert [signer.selector for signer in ring.signers(DOMAIN)] == ["a-ed25519"]
    ((path, why),) = ring.troubles.items()
    assert path.name == "a-rsa.pem"
    assert "no private key" in why


def test_a_domain_below_is_signed_for_by_the_nearest(tmp_path: Path, store: KeyStore) -> None:
    for domain in (DOMAIN, "news.example.org"):
        store.make(domain)
        store.put_in_force(domain)
    ring = Keyring(tmp_path)
    ring.look()
    for author, signs in (
        ("example.org", "example.org"),
        ("mx.example.org", "example.org"),
        ("a.b.example.org", "example.org"),
        ("a.news.example.org", "news.example.org"),
        ("badexample.org", None),
        ("org", None),
        ("[192.0.2.1]", None),
    ):
        assert {signer.domain for signer in ring.signers(author)} == ({signs} if signs else set()), author
