"""Coverage-guided fuzzing of one parser or of all in turn: `make fuzz`, or `python -m tests.fuzz smtp_server`.

What is found that the corpus does not reach goes into the corpus, smallest first; what breaks a parser is written to
``crash-…`` in the working directory, and belongs into the corpus once it is mended.
"""

import argparse
import subprocess
import sys
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", help="one of the functions in targets.py; none: each in turn")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    arguments, more = parser.parse_known_args()
    if arguments.target:
        fuzz(arguments.target, arguments.seconds, more)
        return
    from tests.fuzz.targets import TARGETS

    failed = []
    for name in TARGETS:
        print(f"-- {name}: {arguments.seconds} s", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(arguments.seconds), *more]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"Broken: {', '.join(failed)}" if failed else "Nothing broke.")
    sys.exit(bool(failed))


def fuzz(name: str, seconds: int, more: list[str]) -> None:
    """Never returns: the fuzzer ends the process."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris")
    with atheris.instrument_imports(include=["engine"]):
        from tests.fuzz.targets import TARGETS
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, *more, str(folder)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
