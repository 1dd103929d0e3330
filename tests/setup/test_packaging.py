"""What `pip install loopclinic` gives: light, complete, and importable in an instant."""

import json
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import installer
import pytest

from tests.setup.conftest import ROOT

IMPORTED = """
import sys
before = set(sys.modules)
import loopclinic
import json
print(json.dumps(sorted(set(sys.modules) - before)))
"""
PROBED = """
import asyncio, sys, time
import loopclinic

async def main():
    with loopclinic.Probe(threshold=0.05) as probe:
        await asyncio.sleep(0.01)
        time.sleep(0.2)
        await asyncio.sleep(0.01)
    return probe.report()

report = asyncio.run(main())
assert any(stall.seconds > 0.15 for stall in report.stalls), report
foreign = [name for name in sys.modules if name in ("aiohttp", "rich", "psutil", "numpy", "IPython")]
assert not foreign, foreign
print(report.stalls[0].seconds)
"""


def test_importing_loopclinic_imports_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    )
    names = json.loads(done.stdout)
    assert names
    roots = {name.split(".")[0] for name in names}
    foreign = roots - set(sys.stdlib_module_names) - {"loopclinic", "__future__"}
    assert not foreign
    assert not roots & {"asyncio", "socket", "ssl", "subprocess", "unittest", "email", "http"}


def test_a_heavy_name_is_imported_on_first_use_only():
    code = "import loopclinic, sys; assert 'loopclinic.probe' not in sys.modules; loopclinic.Probe"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_what_the_kit_reads_at_run_time(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        about = Parser().parsestr(archive.read(metadata).decode())
    source = ROOT / "src"
    wanted = {
        file.relative_to(source).as_posix()
        for file in (source / "loopclinic").rglob("*")
        if file.is_file() and not any(p.startswith(("__pycache__", ".")) for p in file.parts[1:])
    }
    assert "loopclinic/cli/labconfig/default_setting_overrides.json" in wanted
    assert any(name.startswith("loopclinic/scope/static/") for name in wanted)
    assert any("/shipped/" in name for name in wanted)
    assert wanted <= names
    assert not [name for name in names if name.startswith(("tests", "labs", "notebooks"))]
    for folder in ("notebooks", "labs", "solutions", "data", "docs"):
        tracked = ["git", "-C", str(ROOT), "ls-files", "-z", folder]
        files = subprocess.run(tracked, capture_output=True, text=True, check=True).stdout.split(
            "\0"
        )
        assert {f"loopclinic/kit/{name}" for name in files if name} <= names
    carried = [one for one in archive.infolist() if one.filename.startswith("loopclinic/kit/")]
    assert 0 < sum(one.compress_size for one in carried) < 2e6
    light = [line for line in about.get_all("Requires-Dist") if "extra ==" not in line]
    assert not light  # the probe needs the standard library only
    assert any(name.endswith("/licenses/LICENSE") for name in names)


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    """A Python with the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages") or folder.glob("Lib/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    return folder / "bin" / "python" if sys.platform != "win32" else folder / "Scripts/python.exe"


def light(bare, *arguments):
    return subprocess.run(
        [bare, *arguments], cwd=bare.parent, capture_output=True, text=True, check=False
    )


def test_the_probe_works_in_the_light_install(bare):
    done = light(bare, "-c", PROBED)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.15


@pytest.mark.parametrize("command", ["lab", "gallery", "check"])
def test_a_kit_command_in_the_light_install_says_what_to_install(bare, command):
    done = light(bare, "-m", "loopclinic", command, *(["01"] if command == "check" else []))
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_kit_name_in_the_light_install_says_what_to_install(bare):
    done = light(bare, "-c", "import loopclinic; loopclinic.compare")
    assert "pip install 'loopclinic[kit]'" in done.stderr.splitlines()[-1]


def test_the_light_install_carries_the_kit(bare, tmp_path):
    done = light(bare, "-m", "loopclinic", "init", tmp_path / "kit")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "kit" / "notebooks" / "00_start_here.ipynb").is_file()
    assert (tmp_path / "kit" / "labs" / "13_standardize").is_dir()


def test_the_doctor_runs_in_the_light_install(bare):
    done = light(bare, "-m", "loopclinic", "doctor")
    assert done.returncode == 1, done.stderr
    assert "only the tools are installed" in done.stdout
    assert "Traceback" not in done.stderr


def environment_file():
    import yaml

    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def test_environment_yml_is_minimal():
    found = environment_file()
    assert set(found) == {"name", "channels", "dependencies"}
    *conda, pip = found["dependencies"]
    assert conda == ["python>=3.11", "pip"]
    assert pip == {"pip": ["-e .[kit]", "nest-asyncio", "nest-asyncio2"]}


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_environment_yml_installs(clone, tmp_path):
    """Its pip section, by uv, into a fresh environment: a solve with no lock, as conda's is."""
    sections = [one["pip"] for one in environment_file()["dependencies"] if isinstance(one, dict)]
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("\n".join(sections[0]))
    try:
        uv = installer.fetch_uv()
    except installer.SetUpError as error:
        pytest.skip(f"no network: {error}")
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    done = subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", python, "-r", wanted],
        cwd=clone,
        env=installer.with_pips_index(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and any(
        sign in done.stderr for sign in ("error sending request", "dns error", "timed out")
    ):
        pytest.skip(f"no network: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    code = "import loopclinic, jupyterlab, anywidget; print(loopclinic.__file__)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(clone)


@pytest.mark.skipif(sys.platform == "win32", reason="bash only")
def test_the_ci_script_is_bash():
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)
