"""Why a message was not delivered, in the reader's language where it is this server that says it."""

import pytest

from engine.web.mail.fates import Fate
from engine.web.rendering import environment

SHOWN = "{% for one in fates %}{{ one.reply or (one.text | ours) }}{% endfor %}"


@pytest.mark.parametrize(
    ("fate", "told"),
    [
        (Fate("a@x.test", "failed", "no such user here"), "ở đây không có người dùng này"),
        (Fate("a@x.test", "deferred", "The next server asks us to try later", "450 4.2.0 the mailbox is full"),
         "450 4.2.0 the mailbox is full"),
        (Fate("a@x.test", "failed", "", "no such user here"), "no such user here"),
        (Fate("a@x.test", "delivered"), ""),
    ],
)  # fmt: skip
def test_what_others_say_is_quoted(fate, told):
    assert environment("vi").from_string(SHOWN).render(fates=[fate]) == told
