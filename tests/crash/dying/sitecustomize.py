"""Ends a process with SIGKILL at a named point; put on the path of a server under test, whose code knows nothing of it.

``POSTROAD_DIE`` is JSON: ``process`` (how its name begins), ``module``, ``name`` (of a function, "Class.method" too),
``when`` ("before" or "after" it runs), ``count`` (at which call) and ``needle`` (octets that an argument must have, as
text; empty: any). ``POSTROAD_DIED`` is a file that is made then. So it happens once, though workers are started anew.
"""

import functools
import importlib
import inspect
import itertools
import json
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any


class Point:
    """The point at which to die."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._process: str = said["process"]
        self._module: str = said["module"]
        self._name: str = said["name"]
        self._when: str = said["when"]
        self._count: int = said["count"]
        self._needle = said["needle"].encode()
        self._calls = itertools.count(1)

    def install(self) -> None:
        """Wrap the function."""
        *path, name = self._name.split(".")
        holder: Any = importlib.import_module(self._module)
        for part in path:
            holder = getattr(holder, part)
        setattr(holder, name, self._wrapped(getattr(holder, name)))

    def _wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def later(*arguments: Any, **more: Any) -> Any:
                self._pass("before", arguments)
                result = await function(*arguments, **more)
                self._pass("after", arguments)
                return result

            return later

        @functools.wraps(function)
        def now(*arguments: Any, **more: Any) -> Any:
            self._pass("before", arguments)
            result = function(*arguments, **more)
            self._pass("after", arguments)
            return result

        return now

    def _pass(self, when: str, arguments: tuple[Any, ...]) -> None:
        from engine.observe.events import event

        if when != self._when or not event.process.startswith(self._process):
            return
        if self._needle and not any(isinstance(one, bytes) and self._needle in one for one in arguments):
            return
        if next(self._calls) >= self._count:
            self._die()

    @staticmethod
    def _die() -> None:
        try:
            os.close(os.open(os.environ["POSTROAD_DIED"], os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


if os.environ.get("POSTROAD_DIE"):
    Point(json.loads(os.environ["POSTROAD_DIE"])).install()
