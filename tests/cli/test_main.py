"""Entry point of the command line: the table of subcommands, exit statuses of errors."""

import importlib
import subprocess
import sys
from types import SimpleNamespace

import pytest

import loopclinic
from loopclinic.cli import main as command_line
from loopclinic.lessons import UnknownLessonError
from loopclinic.paths import KitNotFoundError

PROMISED = {
    *("lab", "list", "next", "check", "watch", "hint", "reset", "solution"),
    *("demo", "progress", "run", "doctor", "gallery", "uninstall"),
}


@pytest.fixture
def command(monkeypatch):
    """Put a command of this test's own into the table; return a function that says what it does."""

    def install(run, **more):
        module = SimpleNamespace(configure=lambda _: None, run=run, **more)
        monkeypatch.setitem(sys.modules, "loopclinic.cli.trial", module)
        monkeypatch.setitem(command_line.COMMANDS, "trial", ("trial", "a trial"))

    return install


def raising(error):
    def run(_):
        raise error

    return run


def test_every_promised_command_is_there():
    assert set(command_line.COMMANDS) >= PROMISED
    for module_name, summary in command_line.COMMANDS.values():
        module = importlib.import_module(f"loopclinic.cli.{module_name}")
        assert callable(module.configure)
        assert callable(module.run)
        assert summary


def test_no_command_prints_the_help(capsys):
    assert command_line.main([]) == 0
    printed = capsys.readouterr().out
    assert all(f"    {name}" in printed for name in PROMISED)


def test_version(capsys):
    with pytest.raises(SystemExit) as done:
        command_line.main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out.strip() == loopclinic.__version__


def test_only_the_chosen_command_is_imported():
    code = (
        "import sys; from loopclinic.cli.main import main; main([]); "
        "print([name for name in sys.modules if name.startswith('loopclinic.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['loopclinic.cli.arguments', 'loopclinic.cli.main']"


@pytest.mark.parametrize(
    "error",
    [
        KitNotFoundError("Point at it."),
        UnknownLessonError("Point at it."),
        PermissionError("Point at it."),
    ],
)
def test_an_error_of_the_kit_is_one_sentence(command, capsys, error):
    command(raising(error))
    assert command_line.main(["trial"]) == 2
    assert capsys.readouterr().err == "loopclinic: Point at it.\n"


def test_a_refused_file_is_named(command, capsys):
    command(raising(PermissionError(13, "Permission denied", "/x/progress.json")))
    assert command_line.main(["trial"]) == 2
    assert "/x/progress.json: Permission denied" in capsys.readouterr().err


def test_a_missing_package_says_what_to_install(command, capsys):
    command(raising(ModuleNotFoundError("No module named 'aiohttp'", name="aiohttp")))
    assert command_line.main(["trial"]) == 2
    said = capsys.readouterr().err
    assert (
        said
        == "loopclinic: trial needs aiohttp: install the kit with pip install 'loopclinic[kit]'.\n"
    )


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("x", name="loopclinic.nowhere"), KeyError("x"), RuntimeError("x")]
)
def test_a_mistake_of_the_kits_own_keeps_its_traceback(command, error):
    command(raising(error))
    with pytest.raises(type(error)):
        command_line.main(["trial"])


def test_control_c_is_quiet(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert command_line.main(["trial"]) == 130
    assert capsys.readouterr() == ("", "")


def test_unknown_options_are_refused_unless_passed_on(command, capsys):
    seen = []
    command(lambda args: seen.append(args.rest) or 0, PASSES_ON=True)
    assert command_line.main(["trial", "--no-browser", "--port", "8899"]) == 0
    assert seen == [["--no-browser", "--port", "8899"]]
    command(lambda args: 0)
    with pytest.raises(SystemExit) as done:
        command_line.main(["trial", "--nonsense"])
    assert done.value.code == 2
    assert "--nonsense" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error():
    line = f"{sys.executable} -m loopclinic | head -c 1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert done.stderr == ""
