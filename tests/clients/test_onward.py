"""Mail that leaves: to foreign servers, to a second Postroad, and back as a report."""

import email
import email.message
import email.policy
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from engine.net.zone import Zone
from tests.support.background import dns, smtp_server
from tests.support.load import subjects
from tests.support.programs import Certificates, needs, path_of
from tests.support.remote import Remote
from tests.support.server import Postroad, body, free_port, letter, program, until

ANN = "ann@first.test"


def zone(*domains: str) -> list[Zone]:
    """Zones whose mail is taken on this machine."""
    return [Zone(name, {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}}) for name in domains]


@contextmanager
def two_servers(folder: Path) -> Iterator[tuple[Postroad, Postroad]]:
    """first.test and second.test, which find each other by the DNS. Each gets the port of the other's SMTP."""

    def settings(domain: str, address: str) -> dict[str, object]:
        return {
            "server": {"hostname": f"mx.{domain}", "workers": 1},
            "domains": {"local": [domain]},
            "listen": {"smtp": f"127.0.0.1:{free_port()}"},
            "dns": {"servers": [address]},
        }

    with ExitStack() as stack:
        address = stack.enter_context(dns(*zone("first.test", "second.test")))
        first = stack.enter_context(Postroad(folder / "first", settings("first.test", address)))
        second = Postroad(folder / "second", settings("second.test", address))
        second.change({"stage": {"resolve": {"port": first.ports["smtp"]}}})
        stack.enter_context(second)
        first.change({"stage": {"resolve": {"port": second.ports["smtp"]}}})
        assert first.reload().returncode == 0
        yield first, second


def test_from_one_postroad_to_another(tmp_path: Path) -> None:
    """Local and remote recipients of one message, and both trace fields on the far side."""
    with two_servers(tmp_path) as (first, second):
        first.account(ANN, "eve@first.test")
        second.account("bob@second.test")
        first.send(letter("to both"), "eve@first.test", "bob@second.test", sender=ANN)
        (near,), (far,) = first.mail_for("eve@first.test"), second.mail_for("bob@second.test")
        assert body(near) == body(far) == b"Hello.\r\n"
        hops = email.message_from_bytes(far).get_all("Received") or []
        assert [hop.split("by ")[1].split()[0] for hop in hops] == ["mx.second.test", "mx.first.test"]
        assert far.startswith(b"Return-Path: <ann@first.test>\r\n")
        assert first.wait_for("delivered", to="bob@second.test")["remote"] == "mx.second.test"


def test_between_postroads_under_tls(tmp_path: Path) -> None:
    """Where the next server offers STARTTLS it is used, and the far side says so."""
    with two_servers(tmp_path) as (first, second):
        second.account("bob@second.test")
        second.change({"tls": Certificates(tmp_path / "tls").settings})
        assert second.reload().returncode == 0
        first.send(letter("secret"), "bob@second.test", sender=ANN)
        (message,) = second.mail_for("bob@second.test")
        assert b"with ESMTPS id" in message
        assert b"using TLSv1.3" in message


def test_a_refusal_of_the_far_side_comes_back_as_a_report(tmp_path: Path) -> None:
    """RFC 3464, as a program reads it: from the null sender, one group of fields for the recipient that failed."""
    with two_servers(tmp_path) as (first, second):
        first.account(ANN)
        second.account("bob@second.test")
        with first.smtp() as client:
            client.sendmail(
                ANN, ["bob@second.test", "nobody@second.test"], letter("half"), ["RET=HDRS", "ENVID=QQ314159"]
            )
        assert len(second.mail_for("bob@second.test")) == 1
        (octets,) = first.mail_for(ANN)
        report = email.message_from_bytes(octets, policy=email.policy.default)
        assert report["Return-Path"] == "<>"
        assert report["To"] == ANN
        assert report["Auto-Submitted"].startswith("auto-replied")
        assert report.get_content_type() == "multipart/report"
        assert report["Content-Type"].params["report-type"] == "delivery-status"
        human, status, original = report.iter_parts()  # type: ignore[attr-defined]
        assert "nobody@second.test" in human.get_content()
        assert status.get_content_type() == "message/delivery-status"
        about_message, *about_recipients = status.get_payload()
        assert about_message["Reporting-MTA"] == "dns; mx.first.test"
        assert about_message["Original-Envelope-Id"] == "QQ314159"
        (failed,) = about_recipients
        assert failed["Final-Recipient"].replace(" ", "") == "rfc822;nobody@second.test"
        assert failed["Action"] == "failed"
        assert failed["Status"] == "5.1.1"
        assert failed["Remote-MTA"].replace(" ", "") == "dns;mx.second.test"
        assert failed["Diagnostic-Code"].startswith("smtp; 550 5.1.1")
        assert original.get_content_type() == "text/rfc822-headers"
        assert "Subject: half" in original.get_payload()


def test_a_report_that_cannot_be_delivered_is_dropped(tmp_path: Path) -> None:
    """No bounce of a bounce (RFC 5321 4.5.5): neither of our own, nor of somebody else's."""
    with two_servers(tmp_path) as (first, _):
        first.send(letter("lost"), "nobody@second.test", sender="noone@second.test")
        report = first.wait_for("bounce", to="noone@second.test")["report"]
        first.wait_for("failed", id=report)
        first.send(letter("a report from elsewhere"), "nobody@second.test", sender="")
        dropped = first.wait_for("bounce-dropped", to=["nobody@second.test"])["id"]
        first.wait_for("failed", id=dropped)
        assert len(first.all("bounce")) == 1


def test_what_was_put_off_is_tried_again(tmp_path: Path) -> None:
    """A 451 for the content the first time, and for one recipient the second time."""
    answers = {
        ".": ("451 4.3.0 Later", "250 2.0.0 Ok"),
        "RCPT bob@remote.test": ("250 2.1.5 Ok", "450 4.2.0 Busy", "250 Ok"),
    }
    with dns(*zone("remote.test")) as address, smtp_server(Remote(script=answers)) as remote:
        settings = {"dns": {"servers": [address]}, "stage": {"resolve": {"port": remote.port}}}
        with Postroad(tmp_path, settings) as server:
            server.send(letter("patience"), "ann@remote.test", "bob@remote.test")
            until(lambda: len(remote.received) == 2, "two messages at the far side")
            assert [received.recipients for received in remote.received] == [("ann@remote.test",), ("bob@remote.test",)]
            assert server.wait_for("deferred", to="bob@remote.test")["reply"].startswith("451 4.3.0")


def test_a_server_that_is_down_is_waited_for(tmp_path: Path) -> None:
    """Through a restart of our own, too: the message is in the queue."""
    port = free_port()
    with dns(*zone("remote.test")) as address:
        settings = {"dns": {"servers": [address]}, "stage": {"resolve": {"port": port}}}
        with Postroad(tmp_path, settings) as server:
            server.send(letter("patience"), "ann@remote.test")
            server.wait_for("deferred", code="4.4.1")
            assert server.stop() == 0
            with smtp_server(Remote(port=port)) as remote:
                server.start()
                until(lambda: remote.received, "the message at the far side")
                assert remote.received[0].content.endswith(letter("patience"))


@needs("smtp-sink")
def test_smtp_sink_receives(tmp_path: Path) -> None:
    """Postfix's sink, which writes what it gets into files."""
    port, dump = free_port(), tmp_path / "dump"
    dump.mkdir()
    command = [path_of("smtp-sink"), "-u", "nobody", "-R", str(dump), "-d", "%M.", f"127.0.0.1:{port}", "100"]
    os.chmod(dump, 0o777)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    with dns(*zone("remote.test")) as address, program(command, port):
        settings = {"dns": {"servers": [address]}, "stage": {"resolve": {"port": port}}}
        with Postroad(tmp_path / "server", settings) as server:
            with server.smtp() as client:
                for number in range(20):
                    client.sendmail("ann@example.net", ["bob@remote.test"], letter(f"number {number}", ".\r\n..dots"))
            until(lambda: len(server.all("delivered")) == 20, "20 deliveries")
    dumps = [path.read_bytes().replace(b"\r\n", b"\n") for path in dump.iterdir()]
    for number in range(20):
        (found,) = [octets for octets in dumps if f"\nSubject: number {number}\n".encode() in octets]
        assert b"\n\n.\n..dots\n" in found
        assert b"X-Rcpt-Args: <bob@remote.test>" in found


def test_mail_for_a_server_that_is_down_waits_in_line_and_goes_out_when_it_is_back(tmp_path: Path) -> None:
    with two_servers(tmp_path) as (first, second):
        second.account("bob@second.test")
        second.stop()
        first.change({"stage": {"relay": {"retry": ["15s"]}}})  # far longer than it takes to send all of them
        assert first.reload().returncode == 0
        numbers = [f"number {number}" for number in range(6)]
        for number in numbers:
            first.send(letter(number), "bob@second.test", sender=ANN)
            first.wait_for("unreached", domain="second.test")
        first.stop()
        assert len({deferred["id"] for deferred in first.all("deferred")}) == 1  # the others were never tried
        second.start()
        first.start()
        assert sorted(subjects(second.mail_for("bob@second.test", len(numbers)))) == numbers
