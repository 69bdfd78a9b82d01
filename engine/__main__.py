"""`python -m engine` is the command `postroad`."""

from engine.cli import main

main()
