"""Coverage-guided fuzzing of one parser or of all in turn: `make fuzz`, or `python -m tests.fuzz smtp_server`.

It begins from the corpus, and writes what it finds to `build/fuzz/TARGET`, and what breaks a target to
`build/fuzz/TARGET-crash-…`, which belongs into the corpus once it is mended. With `--keep` what was found there goes
into the corpus, smallest first, if it takes a branch that the corpus does not take.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus"
FOUND = ROOT / "build" / "fuzz"
WATCHED = ("engine", "dns", "email", "tarfile", "tomllib")
"""What the fuzzer sees the branches of: ours, and those who parse for us."""

Branch = tuple[str, int, int]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", help="one of the functions in targets/; none: each in turn")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--keep", action="store_true", help="do not fuzz: add to the corpus what was found before")
    arguments, more = parser.parse_known_args()
    if arguments.keep:
        keep(arguments.target)
    elif arguments.target:
        fuzz(arguments.target, arguments.seconds, more)
    else:
        sys.exit(fuzz_all(arguments.seconds, more))


def fuzz_all(seconds: int, more: list[str]) -> bool:
    """Each in a process of its own; whether one broke."""
    from tests.fuzz.targets import TARGETS

    failed = []
    for name in TARGETS:
        print(f"-- {name}: {seconds} s", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(seconds), *more]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"Broken: {', '.join(failed)}" if failed else "Nothing broke.")
    return bool(failed)


def fuzz(name: str, seconds: int, more: list[str]) -> None:
    """Never returns: the fuzzer ends the process."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris")
    with atheris.instrument_imports(include=list(WATCHED)):
        from tests.fuzz.parts import PARTS
        from tests.fuzz.targets import TARGETS
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    words = FOUND / f"{name}.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in PARTS[name]))
    options = [
        f"-dict={words}",
        f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-print_final_stats=1", "-verbosity=1",
        "-reduce_inputs=1", f"-artifact_prefix={folder}-",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, *more, str(folder), str(CORPUS / name)], TARGETS[name])
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in word)


def keep(target: str | None) -> None:
    """Add to the corpus what takes a branch of the engine that nothing in it takes."""
    from tests.fuzz.targets import TARGETS

    for name in [target] if target else TARGETS:
        known: set[Branch] = set()
        for path in (CORPUS / name).iterdir():
            known |= branches(TARGETS[name], path.read_bytes())
        for path in sorted((FOUND / name).glob("*"), key=lambda path: (path.stat().st_size, path.name)):
            new = branches(TARGETS[name], path.read_bytes()) - known
            if new:
                known |= new
                (CORPUS / name / path.name[:12]).write_bytes(path.read_bytes())
                print(f"{name}/{path.name[:12]}: {len(new)} branches more")


def branches(target: Callable[[bytes], None], data: bytes) -> set[Branch]:
    """The steps from line to line in the engine that this input takes."""
    taken: set[Branch] = set()

    def trace(frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        file = frame.f_code.co_filename
        if not file.startswith(str(ROOT / "engine")):
            return None
        last = 0

        def step(frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
            nonlocal last
            if event == "line":
                taken.add((file, last, frame.f_lineno))
                last = frame.f_lineno
            return step

        return step

    sys.settrace(trace)
    try:
        target(data)
    finally:
        sys.settrace(None)
    return taken


if __name__ == "__main__":
    main()
