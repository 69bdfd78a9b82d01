"""The state of a run: what a script has been found to want so far, and what it may still ask for."""

import enum
from collections.abc import Callable, Mapping, Sequence

from engine.sieve.actions import Action, Discard, FileInto, Keep, Redirect, Reject, Remember
from engine.sieve.compiled import Node, Template, Value
from engine.sieve.errors import RunError
from engine.sieve.limits import Limits
from engine.sieve.matching import Match
from engine.sieve.strings import LARGEST_MATCH_VARIABLE
from engine.sieve.world import Letter, World


class Flow(enum.Enum):
    """Where to go on after a command that does not simply end."""

    RETURN = "behind the command that included this script"
    STOP = "nowhere"


class Run:
    """One run of one script, and of what it includes. Raises RunError when a limit is reached."""

    def __init__(
        self,
        letter: Letter,
        world: World,
        limits: Limits,
        commands: Mapping[str, "Callable[[Run, Node], Flow | None]"],
        tests: Mapping[str, "Callable[[Run, Node], bool]"],
    ) -> None:
        self.letter = letter
        self.world = world
        self.limits = limits
        self._commands = commands
        self._tests = tests
        self.actions: list[Action] = []
        self.remember: list[Remember] = []
        self.keeps = True  # implicitly
        self.flags: tuple[str, ...] = ()  # RFC 5232 2: the internal variable
        self.variables: dict[str, str] = {}
        self.shared: dict[str, str] = {}
        self.matched: Sequence[str] = ()
        self.has_variables = False  # whether the script that runs has any
        self.depth = 0
        self.included: set[tuple[str, str]] = set()
        self._fields = list(letter.fields())
        self._values: dict[bytes, str] = {}
        self._by_name: dict[str, list[bytes]] | None = None
        self._edits = 0
        self.header: bytes | None = None  # what the script has made of it
        self._instructions = limits.instructions
        self._work = limits.work
        self._includes = limits.includes

    # Going on

    def block(self, nodes: Sequence[Node]) -> Flow | None:
        taken = False
        for node in nodes:
            self.instruct()
            if node.name in ("if", "elsif", "else"):
                if node.name == "if":
                    taken = False
                if taken or not all(self.test(test) for test in node.tests):
                    continue
                taken = True
                flow = self.block(node.block)
            else:
                flow = self._commands[node.name](self, node)
            if flow is not None:
                return flow
        return None

    def test(self, node: Node) -> bool:
        self.instruct()
        return self._tests[node.name](self, node)

    def instruct(self) -> None:
        self._instructions -= 1
        if self._instructions < 0:
            raise RunError(f"the script runs more than {self.limits.instructions} commands and tests")

    def spend(self, characters: int) -> None:
        """Work is done, about as much as to look at so many characters."""
        self._work -= characters
        if self._work < 0:
            raise RunError("the script does too much work")

    def include(self) -> None:
        self._includes -= 1
        if self._includes < 0 or self.depth >= self.limits.include_depth:
            raise RunError("the script includes too many others")

    # Strings

    def text(self, value: Value) -> str:
        if isinstance(value, str):
            return value
        assert isinstance(value, Template)
        texts = [value.texts[0]]
        for name, after in zip(value.names, value.texts[1:], strict=True):
            texts += [self.variable(name), after]
        text = "".join(texts)
        self.spend(len(text))
        return text[: self.limits.variable]

    def texts(self, value: Value) -> list[str]:
        if not isinstance(value, list):
            return [self.text(value)]
        return [one if isinstance(one, str) else self.text(one) for one in value]

    def option(self, node: Node, name: str, default: str = "") -> str:
        """The value of a tag that takes a string."""
        return self.text(node.options[name]) if name in node.options else default

    def number(self, node: Node, name: str, default: int = 0) -> int:
        value = node.options.get(name, default)
        assert isinstance(value, int)
        return value

    def variable(self, name: str) -> str:
        if name.isdigit():
            number = int(name)
            return self.matched[number] if number < len(self.matched) else ""
        return self._space(name).get(name, "")

    def set(self, name: str, value: str) -> None:
        self._space(name)[name] = value[: self.limits.variable]

    def _space(self, name: str) -> dict[str, str]:
        return self.shared if name.startswith("global.") else self.variables

    def _match_variables(self, values: list[str]) -> None:
        self.matched = tuple(value[: self.limits.variable] for value in values[: LARGEST_MATCH_VARIABLE + 1])

    def match(self, node: Node, *, sets_variables: bool = True) -> Match:
        options = node.options
        kind = str(options.get("match", "is"))
        relation = self.text(options[kind]).lower() if kind in ("value", "count") else ""
        if relation not in ("", "gt", "ge", "lt", "le", "eq", "ne"):
            raise RunError(f'"{relation}" is no relation')
        comparator = str(options.get("comparator", "i;ascii-casemap"))
        found = self._match_variables if sets_variables and self.has_variables else None
        return Match(kind, comparator, relation, self.limits.regex, self.spend, found)

    def fits(self, node: Node, values: Sequence[str], *, sets_variables: bool = True) -> bool:
        """Whether some of the values fit the keys, which are the last argument."""
        keys = self.texts(node.arguments[-1])
        try:
            return self.match(node, sets_variables=sets_variables).any(values, keys)
        except ValueError as error:  # a regular expression that variables have made
            raise RunError(str(error)) from error

    # The header

    def fields(self, name: str) -> list[bytes]:
        """The fields of that name, as the script has left them."""
        if self._by_name is None:
            self._by_name = {}
            for field in self._fields:
                label = field.partition(b":")[0].strip().lower().decode("latin-1")
                self._by_name.setdefault(label, []).append(field)
        return self._by_name.get(name.lower(), [])

    def value(self, field: bytes) -> str:
        value = self._values.get(field)
        if value is None:
            self.spend(len(field))
            value = self._values[field] = self.letter.value(field)
        return value

    def add_field(self, field: bytes, *, last: bool) -> None:
        self._edits += 1
        if self._edits > self.limits.edits:
            raise RunError(f"the script adds more than {self.limits.edits} header fields")
        self._edited([*self._fields, field] if last else [field, *self._fields])

    def delete_fields(self, unwanted: Sequence[bytes]) -> None:
        """Removes these, each of which ``fields`` has given."""
        gone = {id(field) for field in unwanted}
        self._edited([field for field in self._fields if id(field) not in gone])

    def _edited(self, fields: list[bytes]) -> None:
        self._fields, self._by_name = fields, None
        self.header = b"".join(fields)
        self.spend(len(self.header))

    # Actions

    def act(self, action: Action, *, keeps: bool = False) -> None:
        """Take an action down. ``keeps``: the implicit keep stays (RFC 3894)."""
        if not keeps:
            self.keeps = False
        if isinstance(action, Keep | FileInto) and self._is_there_already(action):
            return
        if action in self.actions:
            return
        self._can_stand_beside(action)
        self.actions.append(action)
        if len(self.actions) > self.limits.actions:
            raise RunError(f"the script asks for more than {self.limits.actions} actions")
        if sum(isinstance(one, Redirect) for one in self.actions) > self.limits.redirects:
            raise RunError(f"the script redirects to more than {self.limits.redirects} addresses")

    def _is_there_already(self, action: Keep | FileInto) -> bool:
        """One copy is put into a folder, however often it is asked for (RFC 5228 2.10.3); the later flags and header
        count."""
        for place, other in enumerate(self.actions):
            if isinstance(other, Keep | FileInto) and _place(other) == _place(action):
                self.actions[place] = action
                return True
        return False

    def _can_stand_beside(self, action: Action) -> None:
        # RFC 5429 2.1, 2.2: a message that was refused is neither kept, sent on nor answered, and refused once.
        refused = [one for one in self.actions if isinstance(one, Reject)]
        if refused and not isinstance(action, Discard):
            raise RunError("after `reject` nothing else can be done with the message")
        if isinstance(action, Reject) and any(not isinstance(one, Discard) for one in self.actions):
            raise RunError("`reject` cannot be done besides other actions")


def _place(action: Keep | FileInto) -> tuple[object, ...]:
    if isinstance(action, Keep) or (
        action.folder.upper() == "INBOX" and not action.special_use and not action.mailbox_id
    ):
        return ("INBOX",)
    return (action.folder, action.special_use, action.mailbox_id)
