"""The stage contract: how a stage is found, what it asks for, and how its settings are bound.

A stage is a function ``async def name(message, …)`` or a class whose instances are called with a message. Its
parameters after the message say what it needs: positional ones are services of the engine, found by their
annotation; keyword-only ones are its settings, whose annotation is the type and whose default is the default.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NewType

HOOKS = ("at_connect", "at_sender", "at_recipient")
"""What a stage may offer so that it can refuse before DATA."""

HEARS = ("at_refusal",)
"""What a stage may offer so that it hears of what others refuse."""


Rehearsed = NewType("Rehearsed", bool)
"""The service that tells a stage whether messages are only tried on it, so that nothing may come of them."""


class StageError(Exception):
    """A stage cannot be loaded; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a stage's code says about itself."""

    name: str
    use: str  # "stages.relay", "package.module:name", or a path beside pipeline.toml
    target: Callable[..., Any]
    services: Mapping[str, Any]  # parameter → annotation
    settings: Mapping[str, Any]  # parameter → annotation
    required: frozenset[str]  # settings without a default
    code: str  # digest of the source, so that a changed file is noticed on reload
    synchronous: bool = False  # runs in a thread
    source: bool = False  # lets messages in: has `serve`, stands first in its lane
    effect: bool = False  # changes the world outside: runs behind `queue`, and never twice at once
    straight: bool = (
        False  # may have what is not in the queue yet: quick, and an effect is on disk, and never done twice
    )
    partition: str = ""  # fact whose value picks the worker, so that all of one value meet in one
    early: bool = False  # what it decides is acted on at `queue`: it stands before that
    home: str = ""  # the process that alone can run it; empty: any
    listens: tuple[str, ...] = ()  # listeners that a source serves
    tables: Mapping[str, str] = field(default_factory=dict)  # top-level tables that are settings of this stage
    acts_on: tuple[str, ...] = ()  # top-level tables of the engine that mean nothing without this stage
    hooks: tuple[str, ...] = ()
    leaves: tuple[str, ...] | None = None  # facts that it may leave, "spf." for all of these; None: it does not say


def source_of(path: Path) -> str:
    """The text of a Python file. OSError; SyntaxError or UnicodeDecodeError when it is none."""
    return importlib.util.decode_source(path.read_bytes())


def load_stage(name: str, use: str, beside: Path, read: Callable[[Path], str] = source_of) -> Spec:
    """Find the stage ``name``: in ``use``, or else in the package ``stages``. StageError when there is none.

    ``read`` gives the text of a file.
    """
    if use.partition(":")[0].endswith(".py"):
        path, _, attribute = use.partition(":")
        module, code = _module_from_file(beside / path, read)
    else:
        dotted, _, attribute = (use or f"stages.{name}").partition(":")
        module, code = _module_by_name(dotted)
    return _spec(name, use or f"stages.{name}", _target(module, attribute, name), code)


def _module_from_file(path: Path, read: Callable[[Path], str]) -> tuple[ModuleType, str]:
    try:
        source = read(path)
    except OSError as error:
        raise StageError(f"cannot read {path}: {error.strerror}") from error
    except (SyntaxError, UnicodeDecodeError) as error:
        raise StageError(f"{path} does not load: {type(error).__name__}: {error}") from error
    module_name = f"_operator_{path.stem}_{_digest(bytes(path))}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None:
        raise StageError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(module_name)
    sys.modules[module_name] = module  # dataclasses and type hints look their module up there
    try:
        exec(compile(source, path, "exec"), vars(module))  # a loader might take it for what it has compiled before
    except (Exception, SystemExit) as error:  # a script that calls exit() must not end the server that looks at it
        del sys.modules[module_name]
        if before is not None:
            sys.modules[module_name] = before
        raise StageError(f"{path} does not load: {type(error).__name__}: {error}{_where(error, path)}") from error
    return module, _digest(source.encode())


def _digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()[:16]


def _where(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return ""
    traceback, line = error.__traceback__, 0
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(path):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return f" (line {line})" if line else ""


def _module_by_name(dotted: str) -> tuple[ModuleType, str]:
    try:
        module = importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        if error.name and (dotted == error.name or dotted.startswith(error.name + ".")):
            raise StageError(f"there is no module {dotted}") from error
        raise StageError(f"{dotted} does not load: {error}") from error
    except (Exception, SystemExit) as error:
        raise StageError(f"{dotted} does not load: {type(error).__name__}: {error}") from error
    return module, ""


def _target(module: ModuleType, attribute: str, name: str) -> Callable[..., Any]:
    ours = module.__name__.startswith("_operator_")
    stem = Path(module.__file__ or name).stem if ours else module.__name__.rpartition(".")[2]
    wanted = [attribute] if attribute else [n for base in (name, stem) for n in (base, _pascal(base))]
    found = [target for candidate in wanted if callable(target := getattr(module, candidate, None))]
    # What is only imported may have the name by chance; but `from elsewhere import my_stage` is a stage too.
    found.sort(key=lambda target: getattr(target, "__module__", "") != module.__name__)
    if found:
        return typing.cast(Callable[..., Any], found[0])
    raise StageError(f"{module.__file__} has no function or class named {' or '.join(dict.fromkeys(wanted))}")


def _method(target: type, name: str) -> Any:
    return next((vars(base)[name] for base in target.__mro__ if name in vars(base)), None)


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _spec(name: str, use: str, target: Callable[..., Any], code: str) -> Spec:
    is_class = inspect.isclass(target)
    try:
        hints = typing.get_type_hints(target.__init__ if is_class else target)
        parameters = list(inspect.signature(target).parameters.values())
    except (NameError, TypeError, ValueError) as error:
        raise StageError(f"the parameters of {use} cannot be read: {error}") from error
    if not is_class:
        if not parameters or parameters[0].kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            raise StageError(f"{use} must take the message as its first parameter")
        parameters = parameters[1:]
    _check_parameters(use, parameters, hints)
    settings = {one.name: one.default for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}
    source = hasattr(target, "serve")
    called = _method(target, "__call__") if isinstance(target, type) else target
    if called is None and not source:
        raise StageError(f"{use}: its instances cannot be called with a message; write `async def __call__`")
    return Spec(
        name=name,
        use=use,
        target=target,
        services={one.name: hints[one.name] for one in parameters if one.name not in settings},
        settings={setting: hints[setting] for setting in settings},
        required=frozenset(setting for setting in settings if settings[setting] is inspect.Parameter.empty),
        code=code,
        synchronous=not source and not inspect.iscoroutinefunction(called),
        source=source,
        effect=bool(getattr(target, "effect", False)),
        straight=bool(getattr(target, "straight", False)),
        partition=getattr(target, "partition", ""),
        early=bool(getattr(target, "early", False)),
        home=getattr(target, "home", ""),
        listens=tuple(getattr(target, "listens", ())),
        tables=dict(getattr(target, "tables", {})),
        acts_on=tuple(getattr(target, "acts_on", ())),
        hooks=tuple(hook for hook in (*HOOKS, *HEARS) if is_class and hasattr(target, hook)),
        leaves=tuple(target.leaves) if hasattr(target, "leaves") else None,
    )


def _check_parameters(use: str, parameters: Iterable[inspect.Parameter], hints: Mapping[str, Any]) -> None:
    for parameter in parameters:
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise StageError(f"{use}: *{parameter.name} is no setting; name each one")
        if parameter.name not in hints:
            raise StageError(f"{use}: the parameter {parameter.name} needs an annotation, which is its type")
