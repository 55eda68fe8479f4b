"""What is defined by the blocks of a page, for tests that run it on a real broker."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sybil import Document
from sybil.parsers.markdown import PythonCodeBlockParser

__all__ = ["defined_by"]


def defined_by(page: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """Run the blocks of a page, in a module of their own for as long as a test."""
    module = ModuleType(f"page_{page.stem}_on_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    document = Document.parse(str(page), PythonCodeBlockParser())
    document.namespace = vars(module)
    for block in document:
        block.evaluate()
    return vars(module)
