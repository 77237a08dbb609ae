"""What is built from the sources is the package, whole and under its name. Nothing here needs a network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import bokehwire

ROOT = Path(__file__).parent.parent
# Run in the folder of the sources, as a build frontend does.
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"


def build(kind: str, source: Path, target: Path) -> Path:
    """Builds a "wheel" or "sdist" by the backend itself: pip would want to download the backend first."""
    command = [sys.executable, "-c", BUILD.format(kind=kind), str(target)]
    run = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return target / run.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the build reads, so that it leaves nothing in the work tree."""
    copy = tmp_path_factory.mktemp("sources")
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    for folder in ("src", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def sdist(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", sources, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the unpacked sdist, as installers do that find no wheel; so it proves both."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


def modules_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}


def test_the_wheel_holds_every_module_and_the_marker_of_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name.removeprefix("bokehwire/") for name in archive.namelist() if name.startswith("bokehwire/")}
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in names if name.endswith(".py")} == modules_of(ROOT / "src")
    assert "py.typed" in names
    assert tops == {"bokehwire", f"bokehwire-{bokehwire.__version__}.dist-info"}


def test_the_wheel_says_the_version_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"bokehwire-{bokehwire.__version__}.dist-info/METADATA").decode()
    metadata = Parser().parsestr(text)
    assert metadata["Name"] == "bokehwire"
    assert metadata["Version"] == bokehwire.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "BSD-3-Clause"


def test_the_wheel_imports(wheel: Path) -> None:
    # -I leaves out the work tree and PYTHONPATH; the wheel comes first, before what is installed for the tests.
    program = (
        f"import sys; sys.path.insert(0, {str(wheel)!r}); import bokehwire, bokehwire.protocol as p; print(p.__file__)"
    )
    run = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(str(wheel))


def test_the_sdist_holds_the_tests_too(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "src/py.typed", "tests/test_package.py"} <= names
    assert not [name for name in names if "__pycache__" in name]


def test_every_package_is_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {path.parent.relative_to(ROOT / "src") for path in (ROOT / "src").rglob("__init__.py")}
    assert listed == {".".join(("bokehwire", *folder.parts)) for folder in folders}
