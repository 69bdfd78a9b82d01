"""What is remembered of TLS with the servers of a domain."""

from pathlib import Path

import trio

from engine.policies import seen
from engine.policies.results import TlsResult
from engine.policies.seen import Seen, SeenTls

NOW = 1_800_000_000.0


def result(domain: str, failed: str = "", kind: str = "no-policy-found") -> TlsResult:
    return TlsResult(kind, domain, result=failed)  # type: ignore[arg-type]


async def test_the_last_session_counts(tmp_path: Path) -> None:
    now = [NOW]
    with SeenTls.open(tmp_path, lambda: now[0]) as store:
        store.heard(result("a.test"))
        store.heard(result("b.test", "starttls-not-supported"))
        store.heard(result("c.test", "certificate-expired", "sts"))  # nothing was sent
        store.heard(result("d.test", kind="tlsa"))
        assert store.of("a.test") is None  # not written yet
        await store.write()
        assert store.of("a.test") == Seen(True, NOW)
        assert store.of("b.test") == Seen(False, NOW)
        assert store.of("c.test") is None
        assert store.of("d.test") == Seen(True, NOW)
        now[0] += 60
        store.heard(result("a.test"))
        store.heard(result("b.test"))
        await store.write()
        assert store.of("a.test") == Seen(True, NOW)  # nothing new
        assert store.of("b.test") == Seen(True, NOW + 60)
        now[0] += seen.EVERY
        store.heard(result("a.test"))
        await store.write()
        assert store.of("a.test") == Seen(True, now[0])
    with SeenTls.open(tmp_path, lambda: now[0] + seen.KEPT + 1) as store:
        assert store.of("a.test") is None


async def test_it_does_not_grow_without_end(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(seen, "MOST", 3)
    now = [NOW]
    with SeenTls.open(tmp_path, lambda: now[0]) as store:
        for n in range(5):
            store.heard(result(f"{n}.test"))
        await store.write()
        assert [n for n in range(5) if store.of(f"{n}.test")] == [0, 1, 2]
        now[0] += seen.KEPT + 1
        store.heard(result("new.test"))
        await store.write()
        assert store.of("new.test") is not None


async def test_it_is_written_down_by_itself(tmp_path: Path, autojump_clock: object) -> None:
    with SeenTls.open(tmp_path) as store:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.run)
            store.heard(result("a.test"))
            with trio.fail_after(600):
                while store.of("a.test") is None:
                    await trio.sleep(1)
            nursery.cancel_scope.cancel()
