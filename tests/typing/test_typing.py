"""The marks of `face.py` and `senders.py` are taken away, and both type checkers find each of them again."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MARKED = [Path(__file__).with_name(name) for name in ("face.py", "senders.py")]
ROOTS = [str(ROOT / name) for name in (".", "bindings", "converters")]
MARK = re.compile(r" *# type: ignore\[[\w-]+\]$")

Checker = Callable[[Path], set[tuple[str, int]]]


def mypy(directory: Path) -> set[tuple[str, int]]:
    ran = run("mypy", "--strict", "--output=json", "--no-error-summary", *python_files(directory))
    errors = [json.loads(line) for line in ran.splitlines()]
    return {(Path(error["file"]).name, error["line"]) for error in errors if error["severity"] == "error"}


def pyright(directory: Path) -> set[tuple[str, int]]:
    (directory / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": "strict", "pythonVersion": "3.11", "extraPaths": ROOTS})
    )
    ran = run("pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(directory))
    errors = json.loads(ran)["generalDiagnostics"]
    return {(Path(error["file"]).name, error["range"]["start"]["line"] + 1) for error in errors}


def run(checker: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", checker, *arguments],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def python_files(directory: Path) -> list[str]:
    return sorted(str(path) for path in directory.glob("*.py"))


def marked_lines() -> set[tuple[str, int]]:
    return {
        (path.name, number)
        for path in MARKED
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if MARK.search(line)
    }


@pytest.mark.slow
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_type_checker_refuses_what_is_marked_and_nothing_else(checker: Checker, tmp_path: Path) -> None:
    for path in MARKED:
        lines = (MARK.sub("", line) for line in path.read_text().splitlines())
        (tmp_path / path.name).write_text("\n".join(lines) + "\n")
    assert len(marked_lines()) > 12
    assert checker(tmp_path) == marked_lines()
