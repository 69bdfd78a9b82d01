"""A running server with a milter: what becomes of mail, and what while the milter stands still or is not there."""

import json
import signal
import smtplib
from pathlib import Path
from typing import Any

import pytest

from tests.support.milters import Running, scripted
from tests.support.programs import marks
from tests.support.server import Postroad, body, letter, until

pytestmark = marks("cc", header="libmilter/mfapi.h")

BOB, CAROL = "bob@example.org", "carol@example.org"


def server(folder: Path, milter: Running, **settings: Any) -> Postroad:
    given = {
        "server": {"workers": 1},
        "lane": {"inbound": {"stages": ["accept", "milter", "queue", "route"]}},
        "stage": {"milter": {"connect": milter.connect, **settings}},
    }
    return Postroad(folder / "server", given).account(BOB, CAROL)


def refusal(running: Postroad, content: bytes, *to: str) -> tuple[int, str]:
    with running.smtp() as client:
        with pytest.raises(smtplib.SMTPDataError) as error:
            client.sendmail("ann@example.net", list(to or (BOB,)), content)
        return error.value.smtp_code, error.value.smtp_error.decode()


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_milter_asks_for_is_done(tmp_path: Path, workers: int) -> None:
    script = f"""
        header X-Spam reply 554 5.7.1 No spam here
        rcpt <nobody@example.org> reply 550 5.1.1 Nobody
        from <list@example.net> discard
        from <later@example.net> tempfail
        addheader X-Milter one| two
        chgheader 1 X-Secret
        addrcpt <{CAROL}>
        chgfrom <bounces@example.net>
    """
    script = "\n".join(line.strip() for line in script.splitlines())
    with scripted(tmp_path, script) as milter, server(tmp_path, milter, workers=workers) as running:
        running.send(b"X-Secret: yes\r\n" + letter("good"), BOB)
        for address in (BOB, CAROL):
            (got,) = running.mail_for(address)
            assert b"\r\nX-Milter: one\r\n two\r\n" in got
            assert b"X-Secret" not in got
            assert b"Return-Path: <bounces@example.net>" in got
        assert running.wait_for("recipients-changed")["added"] == [CAROL]
        assert refusal(running, b"X-Spam: yes\r\n" + letter("spam")) == (550, "5.7.1 No spam here")
        running.send(letter("vanishes"), BOB, sender="list@example.net")
        with running.smtp() as client, pytest.raises(smtplib.SMTPDataError) as error:
            client.sendmail("later@example.net", [BOB], letter("later"))
        assert error.value.smtp_code == 451
        running.send(letter("for one of two"), "nobody@example.org", BOB)
        running.mail_for(CAROL, 2)
        running.mail_for(BOB, 2)
        assert not running.all("bug")
        assert running.wait_for("discarded")["from"] == "list@example.net"


def test_a_milter_may_park_a_message(tmp_path: Path) -> None:
    script = "quarantine looks odd\naddheader X-Milter yes"
    with scripted(tmp_path, script) as milter, server(tmp_path, milter) as running:
        running.send(letter("odd"), BOB)
        listed = until(lambda: running.command("queue", "list", "state == 'quarantined'", "--json").stdout, "a list")
        (parked,) = json.loads(listed)
        assert f"the milter {milter.connect}: looks odd" in str(parked)
        assert running.command("queue", "release", parked["id"]).returncode == 0
        (got,) = running.mail_for(BOB)
        assert b"X-Milter: yes\r\n" in got


@pytest.mark.parametrize("workers", [0, 1])
def test_a_milter_may_write_another_body(tmp_path: Path, workers: int) -> None:
    script = "replbody another|body|\nchgheader 1 Subject changed"
    with scripted(tmp_path, script) as milter, server(tmp_path, milter, workers=workers) as running:
        running.send(letter("small"), BOB)
        running.send(letter("large", "x" * 300 + "\r\n" + "y" * 400_000), CAROL)
        for address in (BOB, CAROL):
            (got,) = running.mail_for(address)
            assert body(got) == b"another\r\nbody\r\n"
            assert b"Subject: changed\r\n" in got


def test_mail_waits_while_the_milter_does_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    with scripted(tmp_path) as milter, server(tmp_path, milter, time_limit="3s") as running:

        def sent(subject: str) -> bool:
            """What a busy machine has not asked the milter in time is put off."""
            with running.smtp() as client:
                try:
                    return client.sendmail("ann@example.net", [BOB], letter(subject)) == {}
                except smtplib.SMTPDataError:
                    return False

        until(lambda: sent("before"), "mail to be taken")
        running.forget()
        milter.send(signal.SIGSTOP)
        assert refusal(running, letter("stopped"))[0] == 451
        failed = running.wait_for("stage-failed", stage="milter")
        assert "no answer within 3 s" in failed["error"]
        milter.send(signal.SIGCONT)
        until(lambda: sent("continued"), "the milter to answer again")
        milter.end()
        for _ in range(3):
            assert refusal(running, letter("killed"))[0] == 451
        assert running.wait_for("unreachable")["what"] == f"the milter {milter.connect}"
        until(lambda: "left alone" in refusal_log(running), "it to be left alone")
        milter.start()
        until(lambda: sent("back"), "the milter to be asked again")
        running.wait_for("reachable-again", what=f"the milter {milter.connect}")
        assert len(running.mail_for(BOB, 3)) == 3
        assert not running.all("bug")


def refusal_log(running: Postroad) -> str:
    refusal(running, letter("left alone"))
    return str(running.all("stage-failed")[-1]["error"])


def test_without_the_milter_mail_goes_on_if_the_operator_says_so(tmp_path: Path) -> None:
    with scripted(tmp_path) as milter, server(tmp_path, milter, on_error="skip") as running:
        milter.end()
        running.send(letter("unseen"), BOB)
        running.mail_for(BOB)
        running.wait_for("stage-failed", stage="milter")
