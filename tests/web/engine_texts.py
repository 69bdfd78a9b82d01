"""The texts in the source that can reach a page, as the catalogues in `engine/wording/catalogue/LANGUAGE` have them."""

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

SILENT = {
    "engine/__init__.py", "engine/__main__.py", "engine/cli", "engine/web",  # which have texts of their own
    # What is said to programs alone: other servers, mail programs, the collectors of logs, figures and traces.
    "engine/authentication", "engine/bounces", "engine/compiled.py", "engine/deadline.py", "engine/delivery_status",
    "engine/exchange", "engine/feedback", "engine/figures", "engine/growth", "engine/history", "engine/imap",
    "engine/index", "engine/lanes.py", "engine/links", "engine/login", "engine/mailbox", "engine/message.py",
    "engine/mime", "engine/observe", "engine/policies", "engine/protocols", "engine/reports", "engine/return_path",
    "engine/sieve", "engine/sorting", "engine/spam", "engine/storage", "engine/traces", "engine/unsubscribe",
    "engine/verdict.py", "engine/wakeup.py", "engine/webhooks", "engine/wording",
    # Translated by engine/web/admin/wordings.py, and by stories.py.
    "engine/drawing", "engine/watching", "engine/operations/telling.py", "engine/operations/explaining.py",
    # Commands alone say it.
    "engine/abuse/valkey.py", "engine/net/introduction.py", "engine/net/zone.py", "engine/operations/keys.py",
    "engine/operations/rehearsing.py", "engine/operations/replaying.py", "engine/operations/reports.py",
    "engine/operations/scopes.py", "engine/operations/snapshots.py", "engine/operations/lists.py",
    "engine/operations/mailboxes.py", "engine/operations/parts.py", "engine/operations/advising.py",
    "engine/oversight/export.py", "engine/queue/content.py", "engine/queue/search.py", "engine/queue/snapshot.py",
    "engine/queue/standing.py", "engine/queue/store.py", "engine/queue/verify.py", "engine/runtime/activation.py",
    "engine/runtime/changes.py", "engine/runtime/ground.py", "engine/runtime/handing.py", "engine/runtime/hanging.py",
    "engine/runtime/measuring.py", "engine/runtime/roles", "engine/runtime/spawner.py", "engine/runtime/state.py",
    "engine/runtime/taps.py", "engine/runtime/zygote.py", "engine/signing/store.py",
    # Letters, each in the languages that it has.
    "engine/abuse/letters.py", "engine/oversight/notices.py", "engine/quarantine/letter.py",
    "engine/quarantine/links.py", "engine/quarantine/sending.py", "engine/shaping/telling.py",
    # What is kept elsewhere, and is for the log when it cannot be had.
    "engine/directory/ldap.py", "engine/directory/ldap_connection.py", "engine/directory/postgresql.py",
    "engine/directory/postgresql_connection.py", "engine/directory/kinds.py",
    # Words of other languages and programs, and patterns.
    "engine/migration/folders.py", "engine/scanning/kinds.py", "engine/shaping/pushback.py",
}  # fmt: skip
"""Packages and modules of which no text reaches a page, or another catalogue has them."""

BESIDE = (
    "engine/login/guard.py", "engine/mailbox/deliver.py", "engine/mailbox/names.py", "engine/mailbox/posting.py",
    "engine/mailbox/quotas.py", "engine/mailbox/rights.py", "engine/protocols/address.py", "engine/web/health.py",
)  # fmt: skip
"""Modules in silent packages that do say something."""

UNSAID = re.compile(
    r"""(^|\.)(
    event | bug | exception | warning | info | debug | getLogger              # logs
    | Counter | Gauge | Histogram | Guard | compile | cast | TypeVar | encode | set_content | execute
    | AssertionError | NotImplementedError | RuntimeError
    | Unavailable | CannotFork | ConnectionLost                               # is answered by a page of its own
    )$""",
    re.VERBOSE,
)
"""Calls of which no argument reaches a page."""

LEFT = {
    # Names that other modules give words to, or parts of a name.
    "sends on behalf of {}",
    "domain not local", "no password", "public folder", "no admin", "sends as {}", "not suspended", "roles {}",
    "second factor", "no second factor", "app password {}", "no app password {}", "the same", "it waits", "it is held",
    "it is parked", "was in force", "was on trial", "was to be opened", "in force", "on trial", "by hand", "tried now",
    "given up", "in line", "turned away", "soft reject", "add header", "rewrite subject", "[server] {}",
    "[egress.source.{}] {}", "tap {}", "the milter {}: ",
    # Put around words that have their own form.
    "{} by {}{}", "{} for {}", "{} from {}", " at {}",
    # What is written for programs.
    "mailbox.change directly",
    "postroad dkim new {}", "postroad shaping actions: {}", 'rspamd = {{ url = "http://127.0.0.1:11333" }}',
    'clamav = {{ socket = "/path" }}', " - at `\\$(.*)`$", "Expected `array`", " \\(at line (\\d+), column (\\d+)\\)$",
    '_mta-sts.{}. IN TXT "v=STSv1; id=1"',
}  # fmt: skip
"""Texts that have no form of their own in a catalogue."""

_WORDS = re.compile(r"""[A-Za-z"`')\]{}],? [A-Za-z"`'(\[{}]""")
_LETTERS = re.compile(r"[a-z]{2}")
_FOREIGN = re.compile(
    r"SELECT |\r\n|\*[\"')]?$|^[\w ]+ IN TXT|^padding:|^ns hostmaster|^[\d. ]+Not Found$|^[^a-z]*\{+\}+[^a-z]*$"
)


class Texts(ast.NodeVisitor):
    """Collects them. What is put in by an f-string is {}."""

    def __init__(self, left: Collection[str]) -> None:
        self._left = left
        self.found: list[tuple[int, str]] = []

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # else it is a docstring
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if not UNSAID.search(ast.unparse(node.func)):
            self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for part in [*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body]:
            self.visit(part)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - by this name ast calls it

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._keep(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._keep(node)
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Add) and any(isinstance(side, ast.JoinedStr) or _is_text(side)
                                                for side in (node.left, node.right)):  # fmt: skip
            self._keep(node)
        else:
            self.generic_visit(node)

    def _keep(self, node: ast.expr) -> None:
        text = "".join(_pieces(node))
        if _WORDS.search(text) and _LETTERS.search(text) and not _FOREIGN.search(text) and text not in self._left:
            self.found.append((node.lineno, text))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _pieces(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text.replace("{", "{{").replace("}", "}}")
        case ast.JoinedStr(values=values):
            for part in values:
                yield from _pieces(part)
        case ast.BinOp(op=ast.Add()):
            yield from (*_pieces(node.left), *_pieces(node.right))
        case _:
            yield "{}"


def modules() -> Iterator[Path]:
    """Those that say something."""
    silent = [ROOT / name for name in SILENT]
    for top in ("engine", "stages"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if not any(path == one or one in path.parents for one in silent):
                yield path
    yield from (ROOT / name for name in BESIDE)


def texts(path: Path, *, every: bool = False) -> list[tuple[int, str]]:
    """Those of a module, each with its line. ``every``: those that are LEFT too."""
    found = Texts(frozenset() if every else LEFT)
    found.visit(ast.parse(path.read_text()))
    return found.found


def engine_texts() -> dict[str, str]:
    """All of them, each with a place where it is said."""
    found: dict[str, str] = {}
    for path in modules():
        for line, text in texts(path):
            found.setdefault(text, f"{path.relative_to(ROOT)}:{line}")
    return found
