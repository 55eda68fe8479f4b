"""The outside world: a bank that is sometimes out of reach, and sometimes says no."""

__all__ = ["Bank", "BankUnreachable", "CardDeclined"]


class BankUnreachable(Exception):
    """Asking again later may help."""


class CardDeclined(Exception):
    """Asking again will not help."""


class Bank:
    def __init__(self) -> None:
        self._calls_to_miss = 0

    def miss_calls(self, number: int) -> None:
        """Be out of reach for the next so many calls."""
        self._calls_to_miss = number

    async def charge(self, card: str, amount: int) -> None:
        if self._calls_to_miss and card == "17":
            self._calls_to_miss -= 1
            raise BankUnreachable
        if card == "19":
            raise CardDeclined(f"no cover for {amount}")
