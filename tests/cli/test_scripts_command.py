"""`postroad sieve list|show|put|activate|remove`, where no server runs."""

from pathlib import Path

from click.testing import CliRunner

from engine.cli import main
from tests.support.server import Postroad

ANN = "ann@example.org"


def test_the_scripts_of_an_account(tmp_path: Path) -> None:
    server = Postroad(tmp_path).account(ANN)
    script = tmp_path / "mine.sieve"
    script.write_text("keep;")

    def sieve(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, ["--config", str(server.config), "sieve", *arguments])
        assert done.exit_code == code, done.output
        return done.output

    sieve("put", ANN, str(script))
    sieve("put", ANN, str(script), "--name", "other", "--activate")
    assert sieve("list", ANN) == "mine\t5\t\nother\t5\tactive\n"
    assert sieve("show", ANN, "mine") == "keep;"
    sieve("activate", ANN, "mine")
    sieve("remove", ANN, "other")
    assert "it is active" in sieve("remove", ANN, "mine", code=1)
    sieve("remove", ANN, "mine", "--force")
    assert "there is no such script" in sieve("activate", ANN, "mine", code=1)
    assert "there is no such script" in sieve("show", ANN, "mine", code=1)
    sieve("activate", ANN)
    assert sieve("list", ANN, "--json") == "[]\n"
    assert "there is no account" in sieve("list", "nobody@example.org", code=1)
    script.write_text("fly;")
    assert "no command is named `fly`" in sieve("put", ANN, str(script), code=1)
