"""A governor by hand: what single replies lead to."""

import math

from engine.shaping.governor import LONGEST, REFUSED, START, UNSURE, Governor, Learnt
from engine.shaping.pushback import push_back


def test_connections_grow_with_what_gets_through() -> None:
    governor = Governor()
    governor.most = 10
    assert governor.window == START
    for number in range(20):
        governor.sent(number)
        governor.got_through(number, number + 0.1)
    assert (governor.window, governor.rate, governor.wait(30.0)) == (10, math.inf, 0.0)


def test_connections_shrink_by_the_share_that_is_pushed_back() -> None:
    governor = Governor(Learnt(window=20))
    governor.most = 20
    for number in range(40):
        governor.sent(number * 0.01)
        governor.got_through(number * 0.01, number * 0.01 + 0.005)
    for _ in range(20):  # all on their way at once
        governor.sent(1.0)
    for number in range(20):
        if number % 4 == 0:
            governor.pushed_back(1.0, 1.1, 20)
        else:
            governor.got_through(1.0, 1.1)
    # 5 of the 20, and of the 20 before them none.
    assert 17 <= governor.window <= 18.5
    assert governor.wait(1.1) > 0


def test_pauses_become_longer_and_end_with_what_gets_through() -> None:
    governor, now, pauses = Governor(), 0.0, []
    for _ in range(12):
        governor.sent(now)
        governor.pushed_back(now, now + 0.1, 1)
        pauses.append(round(governor.wait(now + 0.1)))
        now += 0.1 + governor.wait(now + 0.1)
    assert pauses[:5] == [1, 2, 4, 8, 16]
    assert max(pauses) == LONGEST
    governor.sent(now)
    governor.got_through(now, now + 0.1)
    assert not governor.probing
    assert governor.rate < math.inf


def test_a_rate_is_what_got_through_until_the_site_took_mail_again() -> None:
    governor = Governor()
    for number in range(60):  # sixty in six seconds, then none until the minute is over
        governor.sent(number * 0.1)
        governor.got_through(number * 0.1, number * 0.1 + 0.05)
    now = 6.0
    while now < 60:
        governor.sent(now)
        governor.pushed_back(now, now + 0.05, 4)
        now += 0.05 + governor.wait(now + 0.05)
    governor.sent(now)
    governor.got_through(now, now + 0.05)
    assert 0.7 < governor.rate < 1.2
    assert governor.wait(now + 0.05) > 0.5, "messages are spaced by it"


def test_a_refused_connection_is_left_for_longer_and_longer() -> None:
    governor = Governor(Learnt(window=8))
    governor.most = 20
    governor.refused(5, 0.0)
    assert governor.window == 5
    for number in range(200):
        governor.got_through(number * 0.1, number * 0.1)
    assert governor.window < 6
    now = REFUSED + 1
    for number in range(200):
        governor.got_through(now + number * 0.1, now + number * 0.1)
    assert governor.window >= 6


def test_what_is_not_about_us_is_done_without() -> None:
    governor, now = Governor(), 0.0
    for _ in range(UNSURE):
        governor.sent(now)
        governor.pushed_back(now, now + 0.1, 4, sure=False)
        now += 0.1 + governor.wait(now + 0.1)
    assert governor.wait(now) == 0
    governor.sent(now)
    governor.pushed_back(now, now + 0.1, 4, sure=False)
    assert governor.wait(now + 0.1) == 0
    governor.sent(now)
    governor.pushed_back(now, now + 0.1, 4, sure=True)
    assert governor.wait(now + 0.1) > 0


REPLIES = {
    "421 4.7.0 Too many connections from your address": "connection",
    "452 4.3.2 Maximum number of concurrent sessions reached": "connection",
    "421 4.4.2 mx.example.net Error: timeout exceeded": "",
    "421 too many messages per session": "",
    "450 4.2.1 The user you are trying to contact is receiving mail at a rate that is too high": "",
    "451 4.7.1 Greylisting in action, please come back later": "",
    "452 4.2.2 Mailbox full": "",
    "452 4.5.3 Too many recipients": "",
    "450 4.1.1 Unknown user": "",
    "451 4.7.650 The mail server has been temporarily rate limited": "sure",
    "450 4.7.1 Try again": "unsure",
    "421 4.7.28 Our system has detected an unusual rate of mail": "sure",
    "451 4.3.0 Temporary server error, slow down": "sure",
    "550 5.7.1 Rate limit": "",
    "250 2.0.0 Ok": "",
}


def test_replies_that_are_about_us_are_known() -> None:
    found = {}
    for line in REPLIES:
        code, _, rest = line.partition(" ")
        status = rest.split()[0] if rest[1:2] == "." else f"{code[0]}.0.0"
        found[line] = push_back(int(code), status, rest, first=True)
    assert found == REPLIES
    assert push_back(450, "4.7.1", "Try again", first=False) == "sure"
