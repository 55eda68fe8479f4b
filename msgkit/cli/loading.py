"""Finding the application that a command line names."""

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from msgkit.application import Application
from msgkit.errors import ConfigurationError

__all__ = ["load_application"]


def load_application(reference: str) -> Application:
    """Return the application of `module:name` or `file.py:name`; a factory is called, and the name may be left out.

    :raises ConfigurationError: when there is none, or more than one to choose from
    """
    place, _, name = reference.partition(":")
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    return _named(module, name) if name else _only(module)


def _load_module(name: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        msg = f"there is no module {name!r} in {Path.cwd()} or among what is installed"
        raise ConfigurationError(msg) from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        msg = f"there is no file {str(path)!r}"
        raise ConfigurationError(msg)
    path = path.resolve()
    # What stands beside the file can be imported by it, as when Python runs it.
    sys.path.insert(0, str(path.parent))
    name = path.stem if _is_free(path.stem, path) else str(path)
    return sys.modules[name] if name in sys.modules else _execute(name, path)


def _is_free(name: str, path: Path) -> bool:
    """Can a file be the module of a name, without being taken for another one?"""
    if name in sys.stdlib_module_names:
        return False
    return name not in sys.modules or getattr(sys.modules[name], "__file__", None) == str(path)


def _execute(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        msg = f"{str(path)!r} is no file of Python code"
        raise ConfigurationError(msg)
    module = importlib.util.module_from_spec(spec)
    # There while it runs, for what looks up its own module.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _named(module: ModuleType, name: str) -> Application:
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if callable(found) and not isinstance(found, Application) and not inspect.iscoroutinefunction(found):
        found = found()
    if not isinstance(found, Application):
        msg = f"{module.__name__}:{name} is no Application, and no function that returns one"
        raise ConfigurationError(msg)
    return found


def _only(module: ModuleType) -> Application:
    # One application may have two names.
    found = list({id(value): name for name, value in vars(module).items() if isinstance(value, Application)}.values())
    if len(found) != 1:
        many = f"several ({', '.join(found)})" if found else "none"
        msg = f"{module.__name__} has {many} at its top level; name one: {module.__name__}:app"
        raise ConfigurationError(msg)
    return _named(module, found[0])
