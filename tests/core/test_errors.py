import inspect

import pytest

from msgkit import errors
from msgkit.errors import MessagingError, RemoteError


def the_tree(kind: type[Exception], depth: int = 0) -> list[tuple[int, str]]:
    # What is raised by tools for tests alone stands with them.
    ours = [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
    ours.sort(key=lambda each: inspect.getsourcelines(each)[1])
    return [(depth, kind.__name__)] + [line for each in ours for line in the_tree(each, depth + 1)]


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    lines = inspect.getdoc(errors) or ""
    drawn = [
        (len(line) - len(line.lstrip("│├└─ ")), line.lstrip("│├└─ ").split()[0]) for line in lines.splitlines()[2:]
    ]
    assert [(depth // 4, name) for depth, name in drawn] == the_tree(MessagingError)


def test_every_error_is_listed_and_says_what_happened() -> None:
    assert {name for _, name in the_tree(MessagingError)} == set(errors.__all__)
    assert all(getattr(errors, name).__doc__ for name in errors.__all__)


@pytest.mark.parametrize(
    ("kind", "builtin"), [(errors.InvalidMessage, ValueError), (errors.PayloadTypeError, TypeError)]
)
def test_what_a_caller_did_wrong_is_also_what_python_calls_it(kind: type, builtin: type) -> None:
    assert issubclass(kind, builtin)


def test_the_failure_of_the_other_end_tells_its_type_and_its_reason() -> None:
    error = RemoteError("Reject", "sold out")
    assert (error.type, error.reason, str(error)) == ("Reject", "sold out", "Reject: sold out")
    assert str(RemoteError("ValueError", "")) == "ValueError"
