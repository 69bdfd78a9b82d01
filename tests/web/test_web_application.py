"""What the web process says: measures in both forms, health with reasons, and to whom."""

import json

import pytest
from web_client import answer, get

from engine.web.application import Access, application
from engine.web.collecting import Collected
from engine.web.exposition import render
from engine.web.health import reasons, warnings
from engine.wording.phrases import said

FAMILIES = {
    "postroad_revision": ("gauge", "Number of the configuration."),
    "postroad_queue_accepts": ("gauge", "Whether the shard takes mail."),
    "postroad_queue_unwritten": ("gauge", "Changes."),
    "taken_total": ("counter", 'What was\ntaken, "all" of it \\.'),
    "took_seconds": ("histogram", "Time."),
    "never_total": ("counter", "Has not happened yet."),
}


def collected(expected=("mail-0", "mail-1"), **samples):
    usual = [("postroad_revision", (), 1), ("postroad_queue_accepts", (("shard", "0"),), 1)]
    found = {"mail_0": usual, "mail_1": usual} | samples
    return Collected(
        expected, {name.replace("_", "-"): some for name, some in found.items() if some is not None}, FAMILIES
    )


HISTOGRAM = [
    ("took_seconds_bucket", (("le", "0.1"),), 1),
    ("took_seconds_bucket", (("le", "+Inf"),), 2),
    ("took_seconds_sum", (), 0.75),
    ("took_seconds_count", (), 2),
]

PLAIN = r"""# HELP postroad_up Whether the worker answered in time.
# TYPE postroad_up gauge
postroad_up{worker="mail-0"} 1
postroad_up{worker="mail-1"} 0
# HELP never_total Has not happened yet.
# TYPE never_total counter
# HELP postroad_queue_accepts Whether the shard takes mail.
# TYPE postroad_queue_accepts gauge
# HELP postroad_queue_unwritten Changes.
# TYPE postroad_queue_unwritten gauge
# HELP postroad_revision Number of the configuration.
# TYPE postroad_revision gauge
# HELP taken_total What was\ntaken, "all" of it \\.
# TYPE taken_total counter
taken_total{worker="mail-0",what="a \"b\"\nc\\"} 12345678901
# HELP took_seconds Time.
# TYPE took_seconds histogram
took_seconds_bucket{worker="mail-0",le="0.1"} 1
took_seconds_bucket{worker="mail-0",le="+Inf"} 2
took_seconds_sum{worker="mail-0"} 0.75
took_seconds_count{worker="mail-0"} 2
"""


def test_the_text_of_prometheus():
    samples = [("taken_total", (("what", 'a "b"\nc\\'),), 12345678901.0), *HISTOGRAM]
    assert render(collected(mail_0=samples, mail_1=None), open_metrics=False) == PLAIN


def test_the_text_of_openmetrics():
    text = render(collected(mail_0=[("taken_total", (("what", "a"),), 1), *HISTOGRAM]), open_metrics=True)
    assert '# TYPE taken counter\ntaken_total{worker="mail-0",what="a"} 1\n' in text
    assert r"# HELP taken What was\ntaken, \"all\" of it \\." in text
    assert text.endswith("# EOF\n")


def test_samples_of_a_family_stand_together():
    text = render(collected(mail_0=HISTOGRAM, mail_1=HISTOGRAM), open_metrics=False)
    names = [line.partition("{")[0] for line in text.splitlines() if not line.startswith("#")]
    first, last = names.index("took_seconds_bucket"), len(names) - names[::-1].index("took_seconds_count")
    assert last - first == 2 * len(HISTOGRAM)


def test_strange_numbers():
    samples = [("postroad_revision", (), value) for value in (float("inf"), float("-inf"), float("nan"), 0.1, True)]
    lines = render(collected(mail_0=samples, mail_1=[]), open_metrics=False).splitlines()
    assert [line.split()[1] for line in lines if line.startswith("postroad_revision")] == [
        "+Inf",
        "-Inf",
        "NaN",
        "0.1",
        "1",
    ]


def usual(**changes):
    found = {"revision": 1, "accepts": 1, "unwritten": 0} | changes
    return [
        ("postroad_revision", (), found["revision"]),
        ("postroad_queue_accepts", (("shard", "1"),), found["accepts"]),
        ("postroad_queue_unwritten", (("shard", "1"),), found["unwritten"]),
    ]


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        ({}, []),
        ({"mail_1": None}, ["mail-1 does not answer"]),
        ({"mail_1": usual(revision=2)}, ["mail-0 has revision 1 in force, not 2"]),
        ({"mail_1": usual(accepts=0)}, ["shard 1: the disk has no more room than [queue] reserve"]),
        ({"mail_1": usual(unwritten=3)}, ["shard 1: the store does not take changes"]),
        (
            {"mail_0": usual(revision=0), "mail_1": usual(revision=0)},
            [f"mail-{n} has revision 0 in force, not 0" for n in (0, 1)],
        ),
        ({"gone_0": usual()}, []),
    ],
)
def test_why_it_is_not_ready(samples, why):
    assert reasons(collected(**samples)) == why


def served(tokens=(), **samples):
    access = Access()
    access.tokens = tokens

    async def now():
        return collected(**samples)

    return application(now, access)


async def test_health():
    assert b'\r\n\r\n{"alive":true}' in await answer(served(), get("/health/live"))
    response = await answer(served(), get("/health/ready"))
    assert response.startswith(b"HTTP/1.1 200")
    assert json.loads(response.partition(b"\r\n\r\n")[2]) == {"ready": True, "reasons": [], "warnings": []}
    response = await answer(served(mail_1=None), get("/health/ready"))
    assert response.startswith(b"HTTP/1.1 503")
    assert json.loads(response.partition(b"\r\n\r\n")[2]) == {
        "ready": False, "reasons": ["mail-1 does not answer"], "warnings": [],
    }  # fmt: skip


async def test_a_certificate_that_is_to_be_renewed_is_told_and_does_no_harm():
    named = (("certificate", "mx.example.org"),)
    late = [("postroad_certificate_late_seconds", named, 1.0), ("postroad_certificate_expiry_seconds", named, 9e9)]
    usual = collected().samples["mail-0"]
    response = await answer(served(mail_0=[*usual, *late]), get("/health/ready"))
    assert response.startswith(b"HTTP/1.1 200")
    assert json.loads(response.partition(b"\r\n\r\n")[2])["warnings"] == [
        "the certificate of mx.example.org expires on 2255-03-14"
    ]
    later = [(name, labels, 9e9) for name, labels, _ in late]
    assert warnings(collected(mail_0=[*usual, *later])) == []
    over = [(name, labels, 86_400.0) for name, labels, _ in late]
    assert warnings(collected(mail_0=[*usual, *over])) == [
        "the certificate of mx.example.org has expired on 1970-01-02"
    ]


def test_all_that_health_says_is_known_to_the_pages():
    samples = [
        ("postroad_revision", (), 1), ("postroad_queue_accepts", (("shard", "0"),), 0),
        ("postroad_queue_unwritten", (("shard", "0"),), 3),
        ("postroad_certificate_late_seconds", (("certificate", "a.example"),), 1.0),
        ("postroad_certificate_expiry_seconds", (("certificate", "a.example"),), 9e9),
        ("postroad_certificate_late_seconds", (("certificate", "b.example"),), 1.0),
        ("postroad_certificate_expiry_seconds", (("certificate", "b.example"),), 2.0),
    ]  # fmt: skip
    now = collected(("mail-0", "mail-1", "web"), mail_0=samples, mail_1=[("postroad_revision", (), 2)])
    told = [*reasons(now), *warnings(now)]
    assert len(told) == 6
    vietnamese = [said("vi", one) for one in told]
    assert not set(told) & set(vietnamese)
    assert "web không trả lời" in vietnamese
    assert [said("en", one) for one in told] == told


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", b"text/plain; version=0.0.4; charset=utf-8"),
        ("text/html, */*;q=0.1", b"text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            b"application/openmetrics-text; version=1.0.0",
        ),
    ],
)
async def test_the_form_that_a_client_asks_for(accept, kind):
    response = await answer(served(), get("/metrics", Accept=accept))
    assert b"content-type: " + kind in response
    assert (b"# EOF" in response) == (b"openmetrics" in kind)


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (None, 401), ("", 401), ("Bearer", 401), ("Bearer ", 401), ("Bearer wrong", 401), ("Basic one", 401),
        ("Bearer one two", 401), ("Bearer onetwo", 401), ("Bearer on\xe9", 401),
        ("Bearer one", 200), ("bearer two", 200),
    ],
)  # fmt: skip
async def test_with_tokens_only_who_shows_one_sees_measures(shown, status):
    headers = {} if shown is None else {"Authorization": shown}
    response = await answer(served((b"one", b"two")), get("/metrics", **headers))
    assert response.startswith(f"HTTP/1.1 {status}".encode())
    assert (b"postroad_up" in response) == (status == 200)
    assert (b'www-authenticate: Bearer realm="metrics"' in response) == (status == 401)


async def test_without_a_token_nobody_hears_why_it_is_not_ready():
    response = await answer(served((b"one",), mail_1=None), get("/health/ready"))
    assert response.startswith(b"HTTP/1.1 503")
    assert response.endswith(b'\r\n\r\n{"ready":false}')


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("GET", "/metrics/", 404), ("POST", "/metrics", 405)]
)
async def test_there_is_nothing_else(method, path, status):
    response = await answer(served(), get(path).replace(b"GET", method.encode()))
    assert response.startswith(f"HTTP/1.1 {status}".encode())
    assert b"cache-control: no-store" in response
