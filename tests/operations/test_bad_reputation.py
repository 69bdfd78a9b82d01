"""A network from which only bad mail comes, in a whole server: it is told to come again later."""

from pathlib import Path

from tests.support.server import Dialogue, Postroad, letter, until

BOB, STRANGER = "bob@example.org", "127.1.0.9"
REFUSE = """
from engine import Message, Reject, Verdict

async def refuse(message: Message) -> Verdict:
    return Reject("Spam") if message.header("Subject") == "spam" else message
"""
SETTINGS = {
    "lane": {"inbound": {"stages": ["accept", "refuse", "reputation", "queue", "route"]}},
    "stage": {
        "accept": {"relay_networks": ["127.0.0.1"]},
        "refuse": {"use": "filters/refuse.py"},
        "reputation": {"defer_below": -0.2},
    },
}


def test_a_network_that_brings_only_bad_mail_is_put_off(tmp_path: Path) -> None:
    with Postroad(tmp_path, SETTINGS, refuse=REFUSE) as server:
        server.account(BOB)
        for _ in range(4):
            with server.dialogue(STRANGER) as client:
                client.start(BOB).content(letter("spam"), "550")
                client.ask("MAIL FROM:<ann@example.net>", "250")
                client.ask("RCPT TO:<nobody@example.org>", "550")

        def put_off() -> bool:
            try:
                with Dialogue(server.ports["smtp"], STRANGER, greeting="421 4.7.1 Too much unwanted mail"):
                    return True
            except AssertionError:
                return False

        until(put_off, "what is thought of the network to be written")
        assert server.wait_for("connection-refused", peer=STRANGER)["why"].startswith("The reputation")
        with Dialogue(server.ports["smtp"], "127.2.0.9") as other:
            other.start(BOB).content(letter("good"))
        assert len(server.mail_for(BOB)) == 1
        assert server.all("bug") == []
