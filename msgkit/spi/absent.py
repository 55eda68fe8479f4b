"""What whoever sends hears of a destination that is not there, on every broker alike."""

__all__ = ["absent"]


def absent(what: str) -> str:
    """Say that something does not exist, and who is to make it."""
    return (
        f"{what} does not exist; sending declares nothing: "
        "start who listens to it first, list it in topology=, or declare() it"
    )
