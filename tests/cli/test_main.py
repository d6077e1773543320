"""One sentence and the right exit code, whatever goes wrong; and a program that starts fast."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from atp import __version__
from atp.cli.main import VERBS, program
from tests.cli.running import Atp, Ran
from tests.cli.scripted import Told, problem, scripted
from tests.services.loopback import free_port

TRACEBACK = "Traceback (most recent call last)"
KEY = {"ATP_API_KEY": "atp_key"}


def refused(ran: Ran, code: int, words: str) -> None:
    """The command ended with `code`, saying so on stderr alone, in sentences."""
    assert ran.code == code, ran
    assert ran.out == ""
    assert words in ran.err
    assert TRACEBACK not in ran.err


def test_help_names_every_verb(alone: Atp) -> None:
    ran = alone("--help")
    assert ran.code == 0
    assert all(f"  {verb}" in ran.out and summary in ran.out for verb, summary in VERBS.items())
    assert alone().out == ran.out


def test_help_loads_no_verb() -> None:
    """Starting is light: nothing that takes longer than the help itself is imported for it."""
    heavy = ["starlette", "uvicorn", "numpy", "cryptography", "sqlite3", "atp.formats"]
    code = f"import sys; from atp.cli.main import main; main(['-h']); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], text=True, stdout=subprocess.PIPE, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(alone: Atp) -> None:
    assert alone("--version") == Ran(0, f"atp {__version__}\n", "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_explains_itself(verb: str, alone: Atp) -> None:
    for words in [[verb], *([verb, name] for name in getattr(program([verb]).commands[verb], "commands", {}))]:
        ran = alone(*words, "--help")
        assert ran.code == 0
        is_group = "Commands:" in ran.out
        assert is_group or f"  atp {' '.join(words)}" in ran.out, "an example"
        assert is_group or words == ["serve"] or "--json" in ran.out


@pytest.mark.parametrize(
    "words",
    [
        ["ingets"],
        ["query", "--limit", "0"],
        ["query", "--nothing"],
        ["query", "--outcome", "maybe"],
        ["ingest"],
        ["show"],
        ["verify"],
        ["verify", "x", "--level", "deep"],
        ["export"],
        ["key", "create", "--person", "x"],
        ["key", "create", "--person", "x", "--scope", "all"],
        ["tenant", "rename"],
        ["completion", "tcsh"],
        ["key"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_is_wrong_is_refused(words: list[str], alone: Atp) -> None:
    ran = alone(*words)
    assert ran.code == 2
    assert ran.out == "" and ran.err
    assert alone.document(*words, code=2)["error"]["code"] == "usage"


def test_a_word_that_is_nearly_right_is_recognised(alone: Atp) -> None:
    assert "ingest" in alone("ingets").err


def test_without_a_key_it_says_where_keys_are_looked_for(alone: Atp) -> None:
    refused(alone("status"), 2, "var/atp/root.key")
    assert alone.document("status", code=2)["error"]["code"] == "unauthorized"


def test_a_key_file_that_is_missing_is_missing(alone: Atp) -> None:
    refused(alone("status", "--key-file", "none.key"), 3, "none.key does not exist")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"one\ntwo\n", b" \n"])
def test_a_key_file_without_a_key_is_refused(content: bytes, alone: Atp, here: Path) -> None:
    (here / "bad.key").write_bytes(content)
    refused(alone("status", "--key-file", "bad.key"), 2, "one line with a key")


def test_a_key_file_that_is_a_directory_is_refused(alone: Atp, here: Path) -> None:
    refused(alone("status", "--key-file", here), 2, "directory")


def test_the_key_of_the_default_place_is_used_and_never_shown(alone: Atp, here: Path) -> None:
    (here / "var/atp").mkdir(parents=True)
    (here / "var/atp/root.key").write_text("atp_secret\n")
    (here / "var/atp/root.key").chmod(0o644)
    with scripted(lambda *_: problem(401, "unauthorized")) as server:
        ran = alone("status", "--url", server.url)
    assert ran.code == 2
    assert server.asked[0].headers["authorization"] == "Bearer atp_secret"
    assert "chmod 600 var/atp/root.key" in ran.err
    assert "atp_secret" not in ran.err


def test_the_named_key_file_goes_before_the_environment(alone: Atp, here: Path) -> None:
    (here / "mine.key").write_text("atp_mine\n")
    (here / "mine.key").chmod(0o600)
    with scripted(lambda *_: problem(401, "unauthorized")) as server:
        alone("status", "--url", server.url, "--key-file", "mine.key", **KEY)
        alone("status", "--url", server.url, ATP_KEY_FILE="mine.key", **KEY)
    sent = [one.headers["authorization"] for one in server.asked]
    assert sent == ["Bearer atp_mine", "Bearer atp_key"]


def test_no_option_takes_a_secret() -> None:
    group = program(list(VERBS))
    names = {option for command in group.commands.values() for param in command.params for option in param.opts}
    assert names.isdisjoint({"--key", "--api-key", "--token", "--password", "--secret"})


@pytest.mark.parametrize("url", ["localhost:8600", "ftp://x", "http://h:99999"])
def test_a_url_that_is_none_is_refused(url: str, alone: Atp) -> None:
    refused(alone("status", "--url", url, **KEY), 2, "could not use the URL")


def test_a_server_that_is_away_is_unavailable(alone: Atp) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ran = alone("tenant", "create", "x", "--url", url, **KEY)
    refused(ran, 5, "Connection refused")


def test_a_key_on_an_open_line_is_warned_of(alone: Atp) -> None:
    ran = alone("tenant", "create", "x", ATP_URL="http://nowhere.invalid", **KEY)
    assert ran.code == 5
    assert "is not encrypted" in ran.err


@pytest.mark.parametrize(
    ("told", "code", "name"),
    [
        (problem(403, "forbidden"), 2, "forbidden"),
        (problem(404, "missing"), 3, "missing"),
        (problem(409, "conflict"), 4, "conflict"),
        (problem(503, "unavailable"), 5, "unavailable"),
        (problem(500, "tampered"), 1, "tampered"),
        (problem(500, "bug"), 70, "bug"),
    ],
)
def test_each_error_of_the_server_has_its_exit_code(told: Told, code: int, name: str, alone: Atp) -> None:
    with scripted(lambda *_: told) as server:
        ran = alone("tenant", "create", "x", "--url", server.url, "--json", **KEY)
    assert ran.code == code
    assert ran.json["error"]["code"] == name
    assert ran.err == ""


def test_faults_of_events_are_listed(alone: Atp) -> None:
    faults = [{"position": 2, "field": "actor.id", "reason": "is\x1bmissing"}]
    with scripted(lambda *_: problem(422, "invalid", errors=faults)) as server:
        words = ("tenant", "create", "x", "--url", server.url)
        assert "event 2: actor.id: is\\x1bmissing" in alone(*words, **KEY).err
        assert alone(*words, "--json", **KEY).json["error"]["errors"] == faults


def test_a_bug_is_one_sentence_and_a_traceback_only_on_demand(alone: Atp) -> None:
    with scripted(lambda *_: Told(body=b"[]")) as server:
        refused(alone("status", "--url", server.url, **KEY), 70, "ATP_DEBUG=1")
        assert alone("status", "--url", server.url, "--json", **KEY).json["error"]["code"] == "bug"
        assert TRACEBACK in alone("status", "--url", server.url, ATP_DEBUG="1", **KEY).err


def test_a_server_that_sends_no_json_is_refused(alone: Atp) -> None:
    with scripted(lambda *_: Told(body=b"<html>")) as server:
        refused(alone("status", "--url", server.url, **KEY), 2, "not JSON")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell: str, alone: Atp) -> None:
    assert "_ATP_COMPLETE" in alone("completion", shell).out
    assert alone.document("completion", shell)["shell"] == shell


def test_completion_knows_verbs_and_their_options(alone: Atp) -> None:
    verbs = alone(_ATP_COMPLETE="bash_complete", COMP_WORDS="atp ", COMP_CWORD="1")
    assert {line.partition(",")[2] for line in verbs.out.splitlines()} == set(VERBS)
    options = alone(_ATP_COMPLETE="bash_complete", COMP_WORDS="atp query --ac", COMP_CWORD="2")
    assert options.out.split() == ["plain,--actor", "plain,--action"]


@pytest.mark.whole
def test_who_reads_only_the_beginning_is_not_an_error() -> None:
    atp = Path(sys.executable).parent / "atp"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {atp} completion bash | head -c 1"], stdout=subprocess.PIPE, check=False
    )
    assert (done.returncode, len(done.stdout)) == (0, 1)


def test_documents_are_one_line(alone: Atp) -> None:
    out = alone("completion", "bash", "--json").out
    assert out.count("\n") == 1
    assert json.loads(out)
