"""`python -m engine` is `postroad`."""

from engine.cli import main

if __name__ == "__main__":
    main(prog_name="postroad")
