"""The pages keep their word: every Python block runs, every link leads somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from sybil import Document
from sybil.parsers.markdown import PythonCodeBlockParser

from msgkit_memory import Broker

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

PYTHON_FENCE = re.compile(r"^ *```+ *py", re.MULTILINE | re.IGNORECASE)
RELATIVE_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)[^)]*\)")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def parsed(page: Path) -> Document:
    return Document.parse(str(page), PythonCodeBlockParser())


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MSGKIT_")]:
        monkeypatch.delenv(name)
    # Each page begins with a broker that holds nothing.
    Broker.forget("memory://")


@pytest.mark.parametrize("page", [page for page in PAGES if any(parsed(page))], ids=named)
def test_the_blocks_of_a_page_run_from_top_to_bottom(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A real module, so that annotations in the blocks resolve as they do in a user's file.
    module = ModuleType(f"page_{page.stem.lower().replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    document = parsed(page)
    document.namespace = vars(module)
    for block in document:
        block.evaluate()


def test_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    block, *_ = parsed(ROOT / "README.md")
    service = tmp_path / "shop.py"
    service.write_text(block.parsed)
    printed = (ROOT / "README.md").read_text().split("prints\n\n```\n")[1].split("```")[0]
    ran = subprocess.run([sys.executable, str(service)], check=True, capture_output=True, text=True, timeout=20)
    assert ran.stdout == printed


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_python_block_escapes(page: Path) -> None:
    assert len(list(parsed(page))) == len(PYTHON_FENCE.findall(page.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = RELATIVE_LINK.findall(page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
