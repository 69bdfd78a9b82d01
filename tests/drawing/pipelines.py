"""Pipelines to be drawn: the one that comes along, and one with everything in it."""

from pathlib import Path

from engine.config import load
from engine.drawing.pipeline import (
    MAILBOXES,
    NEXT_SERVER,
    Branch,
    DrawnLane,
    DrawnLeg,
    DrawnStage,
    Notes,
    Pipeline,
    drawn,
)

ROOT = Path(__file__).parents[2]

_BRANCHES = (
    Branch("local", ("to local",)),
    Branch("partners", ("to partner.example, from boss@example.org",)),
    Branch("remote", ("to *",)),
)


def leg(link: str, *stages: DrawnStage) -> DrawnLeg:
    return DrawnLeg(link, stages)


_RELAY = DrawnStage("relay", effect=True, leads_to=NEXT_SERVER)

LARGE = Pipeline(
    (
        DrawnLane(
            "inbound",
            ("smtp", "lmtp"),
            DrawnStage("accept"),
            (
                leg("inbound/client_names+authenticate", DrawnStage("client_names"), DrawnStage("authenticate")),
                leg("inbound/scan", DrawnStage("scan", workers=2, when="size < 1000000 and not session.login")),
                leg("inbound/tag_external", DrawnStage("tag_external", theirs=True)),
            ),
            "inbound/queue",
            (leg("inbound/route", DrawnStage("route")),),
            _BRANCHES,
        ),
        DrawnLane(
            "outbound",
            ("submission", "submissions"),
            DrawnStage("submit"),
            (leg("outbound/limit_rates", DrawnStage("limit_rates")),),
            "outbound/queue",
            (leg("outbound/route", DrawnStage("route")),),
            _BRANCHES,
        ),
        DrawnLane("local", after=(leg("local/enqueue", DrawnStage("enqueue", effect=True, leads_to=MAILBOXES)),)),
        DrawnLane(
            "partners",
            after=(leg("partners/sort_by_partner", DrawnStage("sort_by_partner", theirs=True)),),
            branches=(Branch("store", ("to a", "to b", "to c", "to d")), Branch("remote"), Branch("inbound")),
        ),
        DrawnLane(
            "remote",
            after=(
                leg("remote/sign+resolve", DrawnStage("sign"), DrawnStage("resolve")),
                leg("remote/relay", _RELAY),
            ),
        ),
        DrawnLane("store", after=(leg("store/lmtp", DrawnStage("lmtp", effect=True, place="lmtp", workers=1)),)),
        DrawnLane("lonely", after=(leg("lonely/relay", _RELAY),)),
    ),
    {
        "smtp": "127.0.0.1:25",
        "lmtp": "/run/postroad/lmtp.sock",
        "submission": "0.0.0.0:587",
        "submissions": "0.0.0.0:465",
    },
    ("pop3", "imap"),
)

CIRCLE = Pipeline(
    (
        DrawnLane("one", after=(leg("one/left", DrawnStage("left")),), branches=(Branch("two"),)),
        DrawnLane("two", after=(leg("two/right", DrawnStage("right")),), branches=(Branch("one"),)),
    )
)

WIDE = Pipeline(
    (
        DrawnLane(
            "inbound",
            tuple(f"listener_{number}" for number in range(9)),
            DrawnStage("accept"),
            (leg("inbound/long", DrawnStage("a" * 60), DrawnStage("b" * 40)),),
            "inbound/queue",
            (leg("inbound/route", DrawnStage("route")),),
        ),
    ),
    {f"listener_{number}": f"[2001:db8::{number}]:25" for number in range(9)},
)


def shipped() -> Pipeline:
    """That of the file that comes along."""
    return drawn(load(ROOT / "pipeline.toml"))


def noted(pipeline: Pipeline) -> Notes:
    """Figures at every link and in every stage."""
    names = [
        stage.name for lane in pipeline.lanes for leg in (*lane.before, *lane.after) for stage in leg.stages
    ]  # fmt: skip
    return Notes(
        {link: ("1,812/s", "12 wait") if number % 2 else ("204/s",) for number, link in enumerate(pipeline.links)},
        dict.fromkeys(names[::2], ("pass 12 %", "changed 88 %", "1.2 ms, 4.8 ms")),
        ("1,204 waiting", "oldest 3 m"),
    )


EVERY = {"shipped": shipped, "large": lambda: LARGE, "circle": lambda: CIRCLE, "wide": lambda: WIDE}
