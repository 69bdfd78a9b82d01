"""SRS: as Mail::SRS does it, what comes back and for how long, and what does not."""

import subprocess
import time

import pytest

from engine.protocols.address import Malformed, parse_path
from engine.return_path.srs import DAY, Srs
from tests.support.programs import needs, path_of

NOW = 1_767_312_000.0  # 2026-01-02
SRS = Srs("example.org", (b"horse", b"battery"), 21 * DAY)

# What Mail::SRS 0.31 makes of them at that time with these secrets.
REWRITTEN = [
    ("ann@example.net", "SRS0=xWAb=7H=example.net=ann@example.org"),
    ("Ann.Lee@Sub.Example.NET", "SRS0=aqsn=7H=Sub.Example.NET=Ann.Lee@example.org"),
    ("SRS0=abcd=T4=one.example=ann@second.example", "SRS1=wI+v=second.example==abcd=T4=one.example=ann@example.org"),
    ("SRS0+abcd=T4=one.example=ann@second.example", "SRS1=Hqdm=second.example=+abcd=T4=one.example=ann@example.org"),
    ("srs0=abcd=t4=one.example=ann@second.example", "SRS1=wI+v=second.example==abcd=t4=one.example=ann@example.org"),
    (
        "SRS1=wxyz=second.example==abcd=T4=one.example=ann@third.example",
        "SRS1=wI+v=second.example==abcd=T4=one.example=ann@example.org",
    ),
]  # fmt: skip
PERL = """
use Mail::SRS;
my ($what, $address) = @ARGV;
my $srs = Mail::SRS->new(Secret => ["horse", "battery"], MaxAge => 21);
print $what eq "forward" ? $srs->forward($address, "example.org") : $srs->reverse($address);
"""


def perl(what: str, address: str) -> str:
    command = [path_of("perl"), "-e", PERL, what, address]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize(("sender", "address"), REWRITTEN)
def test_a_sender_is_rewritten_as_others_do_it(sender: str, address: str) -> None:
    assert SRS.forward(sender, NOW) == address


@pytest.mark.parametrize(
    ("sender", "back"),
    [
        *((same, same) for same in ("ann@example.net", "b+1-b=example.org@mailer.example", "a=b@x.example")),
        ('"ann lee"@example.net', '"ann lee"@example.net'),
        ("jörg@bücher.example", "jörg@bücher.example"),
        ("SRS0+abcd=T4=one.example=ann@second.example", "SRS0+abcd=T4=one.example=ann@second.example"),
        (
            "SRS1=wxyz=second.example=-abcd=T4=one.example=ann@third.example",
            "SRS0-abcd=T4=one.example=ann@second.example",
        ),
        ("SRS1=short@third.example", "SRS1=short@third.example"),
    ],
)  # fmt: skip
def test_a_bounce_finds_back(sender: str, back: str) -> None:
    address = SRS.forward(sender, NOW)
    assert address != sender
    assert not isinstance(parse_path(f"<{address}>", null_ok=False, utf8=True), Malformed)
    assert SRS.reverse(address, NOW) == back
    lowered = SRS.reverse(address.lower(), NOW)
    assert lowered is not None, "a server on the way may know but one case"
    assert lowered.lower() == back.lower()


@pytest.mark.parametrize("sender", ["ann@[192.0.2.1]", f"{'l' * 230}@example.net"])
def test_what_cannot_be_rewritten_stays(sender: str) -> None:
    assert SRS.forward(sender, NOW) == sender


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.org",
        "SRS0@example.org",
        "SRS0=xWAb@example.org",
        "SRS0=xWAb=7H@example.org",
        "SRS0=xWAb=7H=example.net@example.org",
        "SRS0=xWAc=7H=example.net=ann@example.org",
        "SRS0=xWA=7H=example.net=ann@example.org",
        "SRS0==7H=example.net=ann@example.org",
        "SRS0=xWAb=7G=example.net=ann@example.org",
        "SRS0=xWAb=7H=example.com=ann@example.org",
        "SRS0=xWAb=7H=example.net=bob@example.org",
        "SRS0=ü=7H=example.net=ann@example.org",
        "SRS1=Wyqu=third.example==abcd=T4=one.example=ann@example.org",
        "SRS1=Wyqu=second.example@example.org",
        "SRS2=xWAb=7H=example.net=ann@example.org",
    ],
)
def test_what_is_not_ours_stands_for_nobody(address: str) -> None:
    assert SRS.reverse(address, NOW) is None


@pytest.mark.parametrize(
    ("days", "good"), [(0, True), (21, True), (22, False), (400, False), (-1, False), (1024, True), (1045, True)]
)
def test_it_is_good_for_some_days(days: int, good: bool) -> None:
    address = SRS.forward("ann@example.net", NOW)
    assert (SRS.reverse(address, NOW + days * DAY) is not None) is good


def test_a_day_that_is_none_is_not_good_though_its_hash_is() -> None:
    for day in ("1A", "A", "AAA", "Ä4"):
        assert SRS.reverse(f"{SRS._signed('SRS0', day, 'example.net', 'ann')}@example.org", NOW) is None


def test_old_secrets_go_on_to_be_good_until_they_are_removed() -> None:
    address = Srs("example.org", (b"battery",), DAY).forward("ann@example.net", NOW)
    assert address != SRS.forward("ann@example.net", NOW)
    assert SRS.reverse(address, NOW) == "ann@example.net"
    assert Srs("example.org", (b"horse",), DAY).reverse(address, NOW) is None


@needs("perl", perl="Mail::SRS")
@pytest.mark.parametrize("sender", ["ann@example.net", "a+b=c@Sub.Example.NET", REWRITTEN[2][0], REWRITTEN[5][0]])
def test_mail_srs_reads_ours_and_we_read_its_own(sender: str) -> None:

    ours, theirs = SRS.forward(sender, time.time()), perl("forward", sender)
    assert perl("reverse", ours) == perl("reverse", theirs) == SRS.reverse(theirs, time.time())
