"""Text: `str` as `text/plain`, in UTF-8 unless the content type names another charset."""

from msgkit_text.text import Text

__all__ = ["Text"]
