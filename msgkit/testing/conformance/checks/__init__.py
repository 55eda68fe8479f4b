"""The checks by topic; `load` registers all of them."""

from importlib import import_module
from pkgutil import iter_modules

__all__ = ["load"]


def load() -> None:
    """Import every module beside this one; their checks are in `registry.CHECKS` then."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
