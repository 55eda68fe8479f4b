"""JSON, straight between bytes and typed values, by pydantic."""

from msgkit_json.json import Json

__all__ = ["Json"]
