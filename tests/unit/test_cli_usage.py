"""The surface: which commands there are, global options, wrong usage, completion."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelfloat.cli.main import run
from modelfloat.tests.support.completion import complete
from modelfloat.version import __version__

COMMANDS = {
    *("init", "backend", "add", "ls", "cat", "get", "log", "diff"),
    *("mount", "umount", "warm", "verify", "stats", "config", "doctor", "rebuild-index"),
    *("rm", "mv", "restore", "gc", "restripe", "key"),
    *("show", "tag", "branch", "undo"),
    *("push", "pull"),
    "site",
}
LATER_OPTIONS = ("--shared",)
ANYWHERE = (
    *("--store", "--json", "--quiet", "--verbose", "--version"),
    *("--key-file", "--passphrase-file"),
)


def program(
    *arguments: str, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "modelfloat.cli.main", *arguments]
    env = {**os.environ, **(environment or {})}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def listed_commands(text: str) -> set[str]:
    _, _, commands = text.partition("Commands:\n")
    return {line.split()[0] for line in commands.splitlines() if line[:3].strip()}


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_help_lists_what_is_offered_and_nothing_else(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 0
    captured = capsys.readouterr()
    assert listed_commands(captured.out) == COMMANDS
    assert captured.err == ""


@pytest.mark.parametrize(
    "command",
    [
        *sorted(COMMANDS),
        "backend add",
        "backend drain",
        "backend ls",
        "backend rebalance",
        "backend rm",
        *(f"key {name}" for name in ("ls", "add", "change", "rm", "recovery")),
    ],
)
def test_every_command_has_help_and_the_global_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert [option for option in ANYWHERE if f" {option}" not in text] == []
    assert [option for option in LATER_OPTIONS if option in text] == []
    assert "ready-fd" not in text
    assert "key-fd" not in text
    assert [
        raw for raw in ("<str>", "<list", "{", "[[") if raw in text.partition("Options:")[0]
    ] == []
    assert "…" not in text.partition("Commands:")[2], "a summary is too long for the help"


def test_commands_of_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backend", "--help"]) == 0
    expected = {"add", "drain", "login", "ls", "rebalance", "rm", "set"}
    assert listed_commands(capsys.readouterr().out) == expected


def test_commands_of_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["key", "--help"]) == 0
    assert listed_commands(capsys.readouterr().out) == {
        *("ls", "add", "change", "rm", "recovery", "sign")
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["ls", "--nonsense"],
        ["add"],
        ["add", "only-one"],
        ["get", "a/b"],
        ["backend"],
        ["backend", "add", "name"],
        ["backend", "rm"],
        ["--store"],
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("modelfloat: ")
    assert captured.err.count("\n") == 1
    assert "--help" in captured.err


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["ls", "--version"], ["backend", "--version"], ["backend", "ls", "--version"]],
)
def test_version_anywhere(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    assert capsys.readouterr().out == f"modelfloat {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--store", "{store}", "ls"],
        ["ls", "--store", "{store}"],
        ["--store", "/elsewhere", "ls", "--store={store}"],
        ["--store", "{store}", "backend", "ls"],
        ["backend", "--store", "{store}", "ls"],
        ["backend", "ls", "--store", "{store}"],
    ],
)
def test_the_store_is_named_before_or_after_the_command(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "nowhere")
    assert run([argument.format(store=store) for argument in arguments]) == 1
    assert capsys.readouterr().err.startswith(f"modelfloat: there is no store at {store};")


def test_help_imports_neither_rich_nor_the_engine() -> None:
    code = (
        "import sys; from modelfloat.cli.main import run; run(['--help']); "
        "print('modules:', *sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    modules = set(result.stdout.decode().rpartition("modules:")[2].split())
    engine = {name for name in modules if name.startswith(("modelfloat.cas", "modelfloat.fuse"))}
    assert engine == set()
    assert not {"rich", "pygments", "asyncio", "trio", "tomllib"} & modules


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str) -> None:
    disable = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    result = program("--show-completion", shell, environment=disable)
    assert result.returncode == 0, result.stderr
    assert "_MODELFLOAT_COMPLETE" in result.stdout


def test_completion_of_commands_and_options() -> None:
    assert complete("modelfloat mo") == ["mount"]
    assert {"--store", "--repair"} <= set(complete("modelfloat verify --"))


def test_completion_without_a_store_offers_nothing(tmp_path: Path) -> None:
    assert complete("modelfloat ls a", MODELFLOAT_STORE=str(tmp_path)) == []


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m modelfloat.cli.main --help"
    script = f"{{ {command}; echo $? >&2; }} | head -c 0"
    result = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.stderr.strip() == "141", result.stderr
