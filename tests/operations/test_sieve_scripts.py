"""A running server with scripts: mail is sent on, answered and refused; and the administrator's commands."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.net.zone import Zone
from tests.support.background import dns, smtp_server
from tests.support.remote import Received, Remote
from tests.support.server import Postroad, letter, until

ANN, BEN, SUE, STRANGER = "ann@example.org", "ben@example.org", "sue@far.test", "127.0.0.9"


class Post(NamedTuple):
    server: Postroad
    remote: Remote  # that takes the mail of far.test

    def script(self, address: str, text: str) -> None:
        path = self.server.folder / "main.sieve"
        path.write_text(text)
        done = self.server.command("sieve", "put", address, str(path), "--activate")
        assert done.returncode == 0, done.stderr

    def write(self, *recipients: str, content: bytes = b"") -> None:
        """A message of a stranger's comes in."""
        text = content or letter("hello").replace(b"Subject:", b"To: ann@example.org\r\nSubject:", 1)
        with self.server.dialogue(STRANGER) as client:
            client.start(*recipients, sender=SUE).content(text)

    def arrived(self, count: int = 1) -> list[Received]:
        until(lambda: len(self.remote.received) >= count, f"{count} messages at far.test")
        assert len(self.remote.received) == count
        return self.remote.received


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    (tmp_path / "secrets").write_text("a long secret\n")
    with ExitStack() as stack:
        address = stack.enter_context(dns(Zone("far.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})))
        remote = stack.enter_context(smtp_server(Remote()))
        settings = {
            "dns": {"servers": [address]},
            "srs": {"domain": "example.org", "secret_file": "secrets"},
            "lane": {"remote": {"stages": ["return_path", "resolve", "relay"]}},
            "stage": {"accept": {"relay_networks": ["127.0.0.1"]}, "resolve": {"port": remote.port}},
        }
        yield Post(stack.enter_context(Postroad(tmp_path, settings)).account(ANN, BEN), remote)


def test_mail_is_redirected_under_a_return_path_of_ours(post: Post) -> None:
    post.script(ANN, 'redirect "bob@far.test"; redirect "ben@example.org";')
    post.write(ANN)
    (far,) = post.arrived()
    assert far.recipients == ("bob@far.test",)
    assert far.sender.startswith("SRS0=")
    (near,) = post.server.mail_for(BEN)
    assert near.startswith(b"Return-Path: <sue@far.test>\r\nDelivered-To: ben@example.org\r\n")
    assert b"\r\nDelivered-To: ann@example.org\r\n" in near
    assert post.server.mailbox(ANN) == []
    sent = until(lambda: len(found := post.server.all("sent")) >= 2 and found, "both to be told")
    assert sorted(one["to"] for one in sent) == [["ben@example.org"], ["bob@far.test"]]
    for one in sent:
        post.server.wait_for("delivered", id=one["new"])


def test_two_who_redirect_to_each_other_do_not_go_on_for_ever(post: Post) -> None:
    post.script(ANN, f'redirect "{BEN}";')
    post.script(BEN, f'redirect "{ANN}";')
    post.write(ANN)
    assert len(post.server.mail_for(ANN)) == 1
    post.server.wait_for("script-failed", to=ANN)
    assert post.server.mailbox(BEN) == []


def test_large_mail_is_redirected(post: Post) -> None:
    post.script(ANN, 'require "copy"; redirect :copy "bob@far.test";')
    content = letter("large", "x" * 70 + "\r\n" + "y" * 70 + "\r\n" * 200_000)
    post.write(ANN, content=content)
    (far,) = post.arrived()
    assert far.content.endswith(content)
    assert post.server.mail_for(ANN)[0].endswith(content)
    until(lambda: not list((post.server.folder / "var" / "content").iterdir()), "the end of the queue's files")


def test_who_is_away_answers_once_and_a_refusal_is_reported(post: Post) -> None:
    post.script(ANN, 'require "vacation"; vacation :subject "away" "I am not here";')
    post.script(BEN, 'require "reject"; reject "no, thanks";')
    post.write(ANN)
    post.write(ANN)
    post.server.mail_for(ANN, 2)
    (answer,) = post.arrived()
    assert (answer.sender, answer.recipients) == ("", (SUE,))
    assert b"Auto-Submitted: auto-replied\r\n" in answer.content
    post.write(BEN)
    report = post.arrived(2)[-1]
    assert (report.sender, report.recipients) == ("", (SUE,))
    assert b"no, thanks" in report.content
    assert post.server.mailbox(BEN) == []


def test_a_script_that_fails_is_told_to_its_owner(post: Post) -> None:
    post.script(ANN, 'require "ihave"; error "it is broken";')
    post.write(ANN)
    post.write(ANN)
    mail = post.server.mail_for(ANN, 3)
    assert [b"it is broken" in one for one in sorted(mail, key=lambda one: b"it is broken" in one)] == [
        False,
        False,
        True,
    ]
    post.server.wait_for("script-failed", to=ANN, script="own", error="it is broken")


def test_an_operator_has_scripts_for_all(post: Post) -> None:
    server = post.server
    (server.folder / "all.sieve").write_text('if header :is "X-Spam" "yes" { discard; }')
    server.change({"sieve": {"before": ["all.sieve"]}})
    assert server.reload().returncode == 0
    post.write(ANN, content=b"X-Spam: yes\r\n\r\nBuy\r\n")
    post.write(ANN)
    server.wait_for("discarded", to=ANN)
    assert b"Subject: hello" in server.mail_for(ANN)[0]
    (server.folder / "all.sieve").write_text("fly;")
    done = server.reload()
    assert done.returncode == 1
    assert "no command is named `fly`" in done.stderr


def test_the_commands_beside_a_running_server(post: Post) -> None:
    post.script(ANN, "keep;")
    assert post.server.command("sieve", "list", ANN).stdout == "main\t5\tactive\n"
    assert post.server.command("sieve", "remove", ANN, "main", "--force").returncode == 0
    assert post.server.command("sieve", "list", ANN, "--json").stdout == "[]\n"
