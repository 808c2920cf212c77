"""Building blocks of the schema: models that name the nearest known key, and swept values."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from paretobench.core.naming import suggestion


def one_of(known: Iterable[str], what: str) -> AfterValidator:
    """Return a validator that refuses names not in `known`, with the nearest one."""
    names = tuple(known)

    def check(name: str) -> str:
        if name not in names:
            hint = suggestion(name, names) or f", one of: {', '.join(names)}"
            raise PydanticCustomError(
                "unknown_name", "must be a known {what}{hint}", {"what": what, "hint": hint}
            )
        return name

    return AfterValidator(check)


def listed(known: Iterable[str]) -> Any:
    """Return what lists the known names in the JSON schema, for editors and the reference."""
    return WithJsonSchema({"type": "string", "enum": list(known)})


class StrictModel(BaseModel):
    """Refuses unknown keys with the nearest known one, and values of another type."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,  # the schema says what a key means, and so does its page
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key '{key}'{hint}; known: {known}",
                        {
                            "key": str(key),
                            "hint": suggestion(str(key), cls.model_fields),
                            "known": ", ".join(cls.model_fields),
                        },
                    )
        return data


class _OneOrSeveral:
    """A value or a list of values; always a list once validated, no value twice."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            _refuse_repeated,
            core_schema.no_info_before_validator_function(_as_list, handler(source)),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        array = handler(schema)
        return {"anyOf": [array["items"], array]}


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _refuse_repeated(values: list[Any]) -> list[Any]:
    seen: set[Hashable] = set()
    for value in values:
        key = repr(value)
        if key in seen:
            raise PydanticCustomError("repeated", "must not name a value twice")
        seen.add(key)
    return values


T = TypeVar("T")
Swept = Annotated[list[T], Field(min_length=1), _OneOrSeveral()]
