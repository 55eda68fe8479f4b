"""What holds for every module, and for the distribution that they make."""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [ROOT / path for path in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
PLUGINS = {package.name for package in PACKAGES} - {"msgkit"}
MODULES = sorted(module for package in PACKAGES for module in package.rglob("*.py"))
WRITTEN = sorted(
    path
    for root in (*PACKAGES, ROOT / "tests", ROOT / "samples", ROOT / "benchmarks", ROOT / "docs")
    for path in root.rglob("*")
    if path.suffix in {".py", ".md"}
)
ENTRY_POINTS = [
    EntryPoint(name, value, group)
    for group, points in PROJECT["project"]["entry-points"].items()
    for name, value in points.items()
] + [EntryPoint("msgkit", PROJECT["project"]["scripts"]["msgkit"], "console_scripts")]

# A module's own, whatever it is called.
LOGGER = "logger"
MAX_LINES = 350
LAZY = {"importlib.metadata", "pydantic", "pydantic_settings", "pytest"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
SILENCER = re.compile(r"noqa(: *[A-Z]+\d+(, *[A-Z]+\d+)*)?|(type|pyright): *ignore(\[[\w, -]+\])?")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_module = pytest.mark.parametrize("module", MODULES, ids=named)


# -- what is public


def public_names(source: str, *, package: str | None = None) -> set[str]:
    """Name what a module makes public; in the `__init__` of `package`, its re-exports too."""
    return {
        name
        for statement in ast.parse(source).body
        for name in bound_by(statement, package)
        if not name.startswith("_") and name != LOGGER
    }


def bound_by(statement: ast.stmt, package: str | None) -> Iterator[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets, value=value) if not is_type_variable(value):
            for target in targets:
                yield from names_in(target)
        case ast.AnnAssign(target=target):
            yield from names_in(target)
        case ast.ImportFrom() if package and is_own(statement, package):
            yield from (alias.asname or alias.name for alias in statement.names)
        case ast.If(body=body, orelse=orelse):
            for inner in (*body, *orelse):
                yield from bound_by(inner, package)
        case _:
            pass


def is_type_variable(value: ast.expr) -> bool:
    match value:
        case ast.Call(func=ast.Name(id="TypeVar" | "ParamSpec" | "TypeVarTuple")):
            return True
        case _:
            return False


def is_own(statement: ast.ImportFrom, package: str) -> bool:
    # The core's face fetches a converter when it is asked for, and tells type checkers at once.
    own = {package} if package != "msgkit" else {package, *PLUGINS}
    return statement.level > 0 or (statement.module or "").split(".")[0] in own


def names_in(target: ast.expr) -> Iterator[str]:
    return (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def listed_names(source: str) -> list[str] | None:
    for statement in ast.parse(source).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id="__all__")], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value)
            ):
                return list(ast.literal_eval(value))
            case _:
                continue
    return None


def is_imported(module: Path) -> bool:
    """Tell modules from programs, and from the pages of checks, which are registered like tests."""
    return module.name != "__main__.py" and module.parent.name != "checks"


def reading_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order that ruff keeps, too."""
    rank = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return rank, name


@pytest.mark.parametrize("module", [path for path in MODULES if is_imported(path)], ids=named)
def test_what_a_module_lists_as_public_is_what_it_defines(module: Path) -> None:
    source = module.read_text()
    package = module.relative_to(ROOT).parts[0 if module.is_relative_to(ROOT / "msgkit") else 1]
    defined = public_names(source, package=package if module.name == "__init__.py" else None)
    listed = listed_names(source)
    assert listed is not None, "no __all__"
    assert set(listed) == defined
    assert listed == sorted(set(listed), key=reading_order)


@pytest.mark.parametrize("package", PACKAGES, ids=named)
def test_all_that_a_package_lists_can_be_had(package: Path) -> None:
    module = import_module(package.name)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize(
    ("source", "package", "names"),
    [
        ("def f(): ...\nasync def g(): ...\nclass C: ...\n_x = 1", None, {"f", "g", "C"}),
        ("A = B = 1\nD: int = 2\n(x, y) = 1, 2", None, {"A", "B", "D", "x", "y"}),
        ("T = TypeVar('T')\nimport os\nfrom a import b", None, set[str]()),
        ("if sys.version_info > (3,):\n    def f(): ...", None, {"f"}),
        ("from .m import A\nfrom p.n import B, C as D\nfrom q import E", "p", {"A", "B", "D"}),
    ],
)
def test_public_is_what_a_statement_binds_without_an_underscore(
    source: str, package: str | None, names: set[str]
) -> None:
    assert public_names(source, package=package) == names


# -- what is written


@each_module
def test_a_module_holds_one_thing_and_so_stays_short(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", sorted({*WRITTEN} - {Path(__file__)}), ids=named)
def test_nothing_is_left_unfinished(path: Path) -> None:
    assert not UNFINISHED.findall(path.read_text())


def silenced_without_reason(source: str) -> list[str]:
    comments = (
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    )
    return [
        comment for comment in comments if SILENCER.search(comment) and not re.search(r"\w", SILENCER.sub("", comment))
    ]


@pytest.mark.parametrize(
    "path",
    # In tests/typing a silenced error is itself the assertion.
    [path for path in WRITTEN if path.suffix == ".py" and "typing" not in path.parts],
    ids=named,
)
def test_a_check_that_is_silenced_says_why(path: Path) -> None:
    assert silenced_without_reason(path.read_text()) == []


@pytest.mark.parametrize(
    ("comment", "silent"),
    [
        ("# noqa: BLE001 -- whatever is raised becomes a settlement", False),
        ("# noqa: BLE001, S110", True),
        ("# type: ignore[misc]  # the overload cannot say it", False),
        ("# type: ignore[misc]  # pyright: ignore[reportUnknownMemberType]", True),
        ("# a comment", False),
    ],
)
def test_a_reason_is_what_remains_beside_the_silencing(comment: str, *, silent: bool) -> None:
    assert bool(silenced_without_reason(f"x = 1  {comment}\n")) is silent


# -- what an import costs


def fresh_python(*arguments: str, directory: Path = ROOT) -> str:
    return subprocess.run(
        [sys.executable, *arguments], cwd=directory, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def test_importing_msgkit_imports_nothing_that_most_programs_do_not_need() -> None:
    loaded = fresh_python("-c", "import sys, msgkit; print(*sys.modules)").split()
    assert LAZY.isdisjoint(loaded)


# -- what is declared and built


def test_every_binding_and_converter_is_declared() -> None:
    found = {
        init.parent.name for folder in ("bindings", "converters") for init in (ROOT / folder).glob("*/__init__.py")
    }
    assert found == PLUGINS


def test_the_layer_rules_cover_every_binding_and_converter() -> None:
    rules = PROJECT["tool"]["importlinter"]
    contracts = {contract["id"]: contract for contract in rules["contracts"]}
    assert set(rules["root_packages"]) == {"msgkit", *PLUGINS}
    assert set(contracts["acyclic"]["ancestors"]) == {"msgkit", *PLUGINS}
    assert set(contracts["agnostic"]["forbidden_modules"]) == PLUGINS
    assert set(contracts["independent"]["modules"]) == PLUGINS
    assert set(contracts["seam"]["source_modules"]) == PLUGINS


def test_the_seam_ends_where_the_core_begins() -> None:
    contracts = {rule["id"]: rule for rule in PROJECT["tool"]["importlinter"]["contracts"]}
    layers: list[list[str]] = [line.split(" | ") for line in contracts["layers"]["layers"]]
    seam = next(place for place, line in enumerate(layers) if "spi" in line)
    # A name in brackets is of a layer that may be absent.
    core = {name for line in layers[: seam + 1] for name in line if "(" not in name} - {"spi"}
    assert set(contracts["seam"]["forbidden_modules"]) == {f"msgkit.{name}" for name in core}


@pytest.mark.parametrize("package", PACKAGES, ids=named)
def test_every_package_is_typed(package: Path) -> None:
    assert (package / "py.typed").is_file()


@pytest.mark.parametrize("point", ENTRY_POINTS, ids=lambda point: f"{point.group}:{point.name}")
def test_every_entry_point_leads_somewhere(point: EntryPoint) -> None:
    found = point.load()
    # A plugin of pytest's is a module.
    assert isinstance(found, ModuleType) if point.group == "pytest11" else callable(found)


def test_the_readme_is_the_description_of_the_distribution() -> None:
    declared = PROJECT["project"].get("readme")
    assert declared == ("README.md" if (ROOT / "README.md").exists() else None)


def test_the_changelog_begins_with_the_version_that_is_built() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == PROJECT["project"]["version"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    fresh_python("-m", "hatchling", "build", "-t", "wheel", "-d", str(directory))
    (built,) = directory.glob("*.whl")
    return built


def is_by_the_way(path: Path) -> bool:
    """Tell what tools leave beside the code."""
    return any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)


@pytest.mark.slow
def test_a_wheel_holds_the_declared_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {
        str(path.relative_to(package.parent))
        for package in PACKAGES
        for path in package.rglob("*")
        if path.is_file() and not is_by_the_way(path)
    }


@pytest.mark.slow
def test_a_wheel_alone_is_enough(wheel: Path, tmp_path: Path) -> None:
    imports = ", ".join(package.name for package in PACKAGES)
    program = (
        # In front of any editable install.
        f"import sys; sys.path.insert(0, {str(wheel)!r})\nimport {imports}; print(msgkit.__file__)"
    )
    assert fresh_python("-c", program, directory=tmp_path).startswith(str(wheel))
