"""Values from JSON and TOML, validated; one message lists every error."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from bst.errors import InputError

T = TypeVar("T", bound=BaseModel)


def validated(kind: type[T], values: object, source: str, *, unknown: Literal["forbid", "ignore"] = "forbid") -> T:
    """Build `kind` from plain JSON or TOML values; `unknown` says what happens to keys that it does not have.

    Raises:
        InputError: the message has `source` and every wrong key, and the known keys where one is unknown.
    """
    try:
        # Strict everywhere but here: JSON and TOML know lists where the values hold tuples.
        return kind.model_validate(_tupled(values), extra=unknown)
    except RecursionError:
        raise InputError(f"{source}: it is nested too deeply to be settings") from None
    except ValidationError as error:
        raise InputError(f"{source}: " + "; ".join(_offence(kind, item) for item in error.errors())) from None


def json_schema(kind: type[BaseModel], title: str, version: int | str) -> dict[str, Any]:
    """Return the JSON Schema of a file whose field `schema_version` is `version`."""
    schema = kind.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = f"{title}, schema version {version}"
    schema["properties"]["schema_version"]["const"] = version
    return schema


def _tupled(value: object) -> Any:
    if isinstance(value, list):
        return tuple(_tupled(item) for item in value)
    if isinstance(value, dict):
        return {key: _tupled(item) for key, item in value.items()}
    return value


def _offence(kind: type[BaseModel], error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        names = _fields_at(kind, error["loc"][:-1])
        return f"there is no setting {where!r}; known: {', '.join(names)}"
    if error["type"] == "missing":
        return f"{where} is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    if not where or error["type"] == "value_error":
        return message
    value = repr(error["input"])
    return f"{where}={value if len(value) < 200 else value[:200] + '...'}: {message}"


def _fields_at(kind: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    for part in path:
        annotation = kind.model_fields[part].annotation if part in kind.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        kind = annotation
    return list(kind.model_fields)
