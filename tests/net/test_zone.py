"""The zone server, asked by dnspython as it comes."""

import click.testing
import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
import trio

from engine.net import zone as zone_module
from engine.net.zone import Fault, Zone, serve_zone

LONG = ['"' + "x" * 200 + str(number) + '"' for number in range(9)]


def example() -> Zone:
    return Zone(
        "example.org",
        {
            "@": {"MX": ["10 mx1", "20 mx2.example.org."], "A": "192.0.2.1", "NS": "ns", "TXT": '"v=spf1 " "-all"'},
            "mx1": {"A": ["192.0.2.2", "192.0.2.3"], "AAAA": "2001:db8::2"},
            "www": {"CNAME": "@"},
            "away": {"CNAME": "mx.example.net."},
            "lost": {"CNAME": "no.example.net."},
            "outside": {"CNAME": "www.example.com."},
            "long": {"TXT": LONG},
            "a.b.deep": {"A": "192.0.2.9"},
        },
    )


def network() -> Zone:
    return Zone("example.net", {"mx": {"A": "192.0.2.77"}}, secure=True)


def reverse() -> Zone:
    return Zone("2.0.192.in-addr.arpa", {"1": {"PTR": "example.org."}})


@pytest.fixture
async def address(nursery):
    return await nursery.start(serve_zone, example(), network(), reverse())


async def ask(address, name, rdtype, *, over=dns.asyncquery.udp, **options):
    host, _, port = address.rpartition(":")
    query = dns.message.make_query(name, rdtype, **options)
    with trio.fail_after(60):
        return await over(query, host, port=int(port))


def texts(rrsets):
    return sorted(f"{s.name} {dns.rdatatype.to_text(s.rdtype)} {rdata}" for s in rrsets for rdata in s)


@pytest.mark.parametrize(
    ("name", "rdtype", "answer"),
    [
        ("example.org", "A", ["example.org. A 192.0.2.1"]),
        ("EXAMPLE.org", "MX", ["example.org. MX 10 mx1.example.org.", "example.org. MX 20 mx2.example.org."]),
        ("example.org", "NS", ["example.org. NS ns.example.org."]),
        ("example.org", "TXT", ['example.org. TXT "v=spf1 " "-all"']),
        (
            "example.org",
            "SOA",
            ["example.org. SOA ns.example.org. hostmaster.example.org. 1 3600 600 86400 60"],
        ),
        ("mx1.example.org", "AAAA", ["mx1.example.org. AAAA 2001:db8::2"]),
        ("1.2.0.192.in-addr.arpa", "PTR", ["1.2.0.192.in-addr.arpa. PTR example.org."]),
        ("www.example.org", "CNAME", ["www.example.org. CNAME example.org."]),
        ("www.example.org", "A", ["example.org. A 192.0.2.1", "www.example.org. CNAME example.org."]),
        ("away.example.org", "A", ["away.example.org. CNAME mx.example.net.", "mx.example.net. A 192.0.2.77"]),
        ("outside.example.org", "A", ["outside.example.org. CNAME www.example.com."]),
    ],
)
async def test_answers(address, name, rdtype, answer):
    for over in (dns.asyncquery.udp, dns.asyncquery.tcp):
        response = await ask(address, name, rdtype, over=over)
        assert response.rcode() == dns.rcode.NOERROR
        assert response.flags & dns.flags.AA
        assert [line.lower() for line in texts(response.answer)] == [line.lower() for line in answer]


@pytest.mark.parametrize(
    ("name", "rdtype", "rcode", "soa"),
    [
        ("nobody.example.org", "A", dns.rcode.NXDOMAIN, "example.org."),
        ("mx1.example.org", "MX", dns.rcode.NOERROR, "example.org."),
        ("deep.example.org", "A", dns.rcode.NOERROR, "example.org."),  # only the middle of a name
        ("lost.example.org", "A", dns.rcode.NXDOMAIN, "example.net."),
        ("example.com", "A", dns.rcode.REFUSED, None),
    ],
)
async def test_denials(address, name, rdtype, rcode, soa):
    response = await ask(address, name, rdtype)
    assert response.rcode() == rcode
    assert [str(rrset.name) for rrset in response.authority] == ([soa] if soa else [])


async def test_long_answers_are_cut_over_udp_and_whole_over_tcp(address):
    assert (await ask(address, "long.example.org", "TXT")).flags & dns.flags.TC
    assert not (await ask(address, "long.example.org", "TXT", payload=4096)).flags & dns.flags.TC
    whole = await ask(address, "long.example.org", "TXT", over=dns.asyncquery.tcp)
    assert len(whole.answer[0]) == len(LONG)


async def test_only_secure_zones_set_the_ad_bit_and_only_when_asked(address):
    wanted = dns.flags.RD | dns.flags.AD
    assert (await ask(address, "mx.example.net", "A", flags=wanted)).flags & dns.flags.AD
    assert not (await ask(address, "mx.example.net", "A")).flags & dns.flags.AD
    assert not (await ask(address, "away.example.org", "A", flags=wanted)).flags & dns.flags.AD


async def test_two_questions_on_one_connection(address):
    host, _, port = address.rpartition(":")
    query = dns.message.make_query("example.org", "A").to_wire(prepend_length=True)
    with trio.fail_after(60):
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(query[:5])
            await stream.send_all(query[5:] + query)
            received = b""
            while received.count(b"\xc0\x00\x02\x01") < 2:  # the address 192.0.2.1
                received += await stream.receive_some()


async def test_records_may_change(nursery):
    zone = example()
    address = await nursery.start(serve_zone, zone)
    zone.set("mx1", "A", "192.0.2.200", ttl=7)
    changed = await ask(address, "mx1.example.org", "A")
    assert texts(changed.answer) == ["mx1.example.org. A 192.0.2.200"]
    assert changed.answer[0].ttl == 7
    zone.remove("mx1", "A")
    assert (await ask(address, "mx1.example.org", "A")).rcode() == dns.rcode.NOERROR
    zone.remove("mx1")
    assert (await ask(address, "mx1.example.org", "A")).rcode() == dns.rcode.NXDOMAIN
    assert zone.questions["mx1.example.org", "A"] == 3


@pytest.mark.parametrize(("fault", "rcode"), [(Fault.SERVFAIL, "SERVFAIL"), (Fault.REFUSED, "REFUSED")])
async def test_refusals(nursery, fault, rcode):
    zone = example()
    address = await nursery.start(serve_zone, zone)
    zone.fail("@", fault, "A")
    assert (await ask(address, "example.org", "A")).rcode() == dns.rcode.from_text(rcode)
    assert (await ask(address, "example.org", "MX")).rcode() == dns.rcode.NOERROR
    zone.fail("@", None, "A")
    assert (await ask(address, "example.org", "A")).rcode() == dns.rcode.NOERROR


async def datagram(address, octets):
    host, _, port = address.rpartition(":")
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as socket, trio.fail_after(60):
        await socket.connect((host, int(port)))
        await socket.send(octets)
        return await socket.recv(4096)


async def test_wrong_id_and_garbage(nursery):
    zone = example()
    address = await nursery.start(serve_zone, zone)
    query = dns.message.make_query("example.org", "A")
    zone.fail("@", Fault.WRONG_ID)
    forged = dns.message.from_wire(await datagram(address, query.to_wire()))
    assert forged.id != query.id
    assert forged.answer
    zone.fail("@", Fault.GARBAGE)
    with pytest.raises(Exception, match="DNS"):
        dns.message.from_wire(await datagram(address, query.to_wire()))


async def test_a_broken_question_stops_nothing(address):
    host, _, port = address.rpartition(":")
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as socket:
        for octets in (b"", b"x", b"\0" * 12, b"\xff" * 40):
            await socket.sendto(octets, (host, int(port)))
    assert (await ask(address, "example.org", "A")).answer


async def test_silence_and_delay(nursery, mock_clock):
    zone = example()
    address = await nursery.start(serve_zone, zone)
    zone.fail("@", Fault.SILENT)
    zone.delay("mx1", 30)
    got = []

    async def keep(name):
        got.append((await ask_long(address, name)).rcode())

    nursery.start_soon(keep, "mx1.example.org")
    nursery.start_soon(keep, "example.org")
    await zone.until_asked("mx1", "A")
    await zone.until_asked("@", "A")
    await trio.testing.wait_all_tasks_blocked()
    assert got == []
    mock_clock.jump(30)
    while not got:
        await trio.lowlevel.checkpoint()
    assert got == [dns.rcode.NOERROR]
    nursery.cancel_scope.cancel()


async def ask_long(address, name):
    host, _, port = address.rpartition(":")
    return await dns.asyncquery.udp(dns.message.make_query(name, "A"), host, port=int(port))


ZONE_FILE = """\
$ORIGIN example.com.
$TTL 120
@    IN SOA ns hostmaster 5 3600 600 86400 30
@    IN MX  10 mail
mail IN A   192.0.2.10
"""


async def test_zone_file(nursery):
    address = await nursery.start(serve_zone, Zone.parse(ZONE_FILE))
    answer = (await ask(address, "mail.example.com", "A")).answer[0]
    assert (str(answer[0]), answer.ttl) == ("192.0.2.10", 120)
    assert (await ask(address, "x.example.com", "A")).authority[0][0].minimum == 30


@pytest.mark.parametrize("text", ["", "$ORIGIN example.com.\n@ IN A 1.2.3.4.5\n", "rubbish", "@ IN NOTYPE x"])
def test_broken_zone_file(text):
    with pytest.raises(ValueError):
        Zone.parse(text)


@pytest.mark.parametrize(("rdtype", "text"), [("A", "1.2.3"), ("MX", "mx1"), ("NOTYPE", "x")])
def test_broken_record(rdtype, text):
    with pytest.raises(ValueError):
        Zone("example.org", {"@": {rdtype: text}})


def test_command_names_a_broken_file(tmp_path):
    file = tmp_path / "zone"
    file.write_text("rubbish")
    result = click.testing.CliRunner().invoke(zone_module.main, [str(file)])
    assert result.exit_code == 1
    assert "zone file" in result.output


async def test_a_zone_without_records_still_denies(nursery):
    zone = Zone("example.org", {"@": {"A": "192.0.2.1"}})
    address = await nursery.start(serve_zone, zone)
    zone.remove("@")
    response = await ask(address, "example.org", "A")
    assert response.rcode() == dns.rcode.NOERROR
    assert not response.answer
    assert response.authority
