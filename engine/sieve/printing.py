"""A parsed script as text again."""

from collections.abc import Iterator

from engine.sieve.syntax import Argument, Call, Number, Tag, Text, Texts


def script(commands: tuple[Call, ...]) -> str:
    """Text that parses into the same commands; lines end in LF, which stand for CRLF within strings."""
    return "".join(f"{line}\n" for command in commands for line in _command(command, ""))


def _command(call: Call, indent: str) -> Iterator[str]:
    head = indent + _call(call)
    if call.block is None:
        yield f"{head};"
        return
    yield f"{head} {{"
    for command in call.block:
        yield from _command(command, f"{indent}    ")
    yield f"{indent}}}"


def _call(call: Call) -> str:
    words = [call.name, *map(_argument, call.arguments)]
    if len(call.tests) == 1:
        words.append(_call(call.tests[0]))
    elif call.tests:
        words.append(f"({', '.join(map(_call, call.tests))})")
    return " ".join(words)


def _argument(argument: Argument) -> str:
    match argument:
        case Tag(name):
            return f":{name}"
        case Number(value):
            return str(value)
        case Text(value):
            return _quoted(value)
        case Texts(items):
            return f"[{', '.join(_quoted(item.value) for item in items)}]"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\r\n", "\n") + '"'
