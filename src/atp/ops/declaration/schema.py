"""Types -> a JSON Schema (2020-12), so that editors complete and check what the program reads."""

from collections.abc import Mapping
from typing import Any

from msgspec import NODEFAULT, inspect

from atp.ops.declaration.durations import DURATION, INSTANT
from atp.ops.declaration.writing import plain

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS: Mapping[type, dict[str, Any]] = {
    inspect.BoolType: {"type": "boolean"},
    inspect.FloatType: {"type": "number"},
    inspect.NoneType: {"type": "null"},
    inspect.TimeDeltaType: {"type": "string", "pattern": DURATION},
    inspect.DateTimeType: {"type": "string", "pattern": INSTANT},
}


def schema_of(kind: type, *, title: str) -> dict[str, Any]:
    """The schema of what `read_declaration` takes for `kind`. It cannot say what rules and references ask for."""
    shapes = dict[str, Any]()
    body = _schema(inspect.type_info(kind), shapes)
    return {"$schema": _DIALECT, "title": title, **body, "$defs": shapes}


def _schema(kind: inspect.Type, shapes: dict[str, Any]) -> dict[str, Any]:
    """The schema of one type; each struct is written once, below `shapes`."""
    if isinstance(kind, inspect.Metadata):
        return {**_schema(kind.type, shapes), **(kind.extra_json_schema or {})}
    if isinstance(kind, inspect.UnionType):
        return _union(kind, shapes)
    if isinstance(kind, inspect.StructType):
        name = kind.cls.__name__
        if name not in shapes:
            shapes[name] = {}
            shapes[name] = _struct(kind, shapes)
        return {"$ref": f"#/$defs/{name}"}
    if isinstance(kind, inspect.DictType):
        names = _schema(kind.key_type, shapes)
        return {"type": "object", "propertyNames": names, "additionalProperties": _schema(kind.value_type, shapes)}
    if isinstance(kind, inspect.VarTupleType):
        bounds = {"minItems": kind.min_length, "maxItems": kind.max_length}
        return {"type": "array", "items": _schema(kind.item_type, shapes), **_given(bounds)}
    return _scalar(kind)


def _scalar(kind: inspect.Type) -> dict[str, Any]:
    if isinstance(kind, inspect.StrType):
        bounds = {"minLength": kind.min_length, "maxLength": kind.max_length, "pattern": kind.pattern}
        return {"type": "string", **_given(bounds)}
    if isinstance(kind, inspect.IntType):
        return {"type": "integer", **_given({"minimum": kind.ge})}
    if isinstance(kind, inspect.LiteralType):
        return {"enum": list(kind.values)}
    return dict(_SCALARS[type(kind)])


def _union(kind: inspect.UnionType, shapes: dict[str, Any]) -> dict[str, Any]:
    members = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    if len(members) == 1:  # optional: its key is left out, null is not written
        return _schema(members[0], shapes)
    return {"anyOf": [_schema(one, shapes) for one in kind.types]}


def _struct(kind: inspect.StructType, shapes: dict[str, Any]) -> dict[str, Any]:
    properties = {}
    for field in kind.fields:
        properties[field.encode_name] = _schema(field.type, shapes)
        if field.default is not NODEFAULT and field.default not in (None, ()):
            properties[field.encode_name]["default"] = plain(field.default)
    return {
        "description": (kind.cls.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " "),
        "type": "object",
        "properties": properties,
        "required": [field.encode_name for field in kind.fields if field.required],
        "additionalProperties": False,
    }


def _given(bounds: Mapping[str, Any]) -> dict[str, Any]:
    return {name: bound for name, bound in bounds.items() if bound is not None}
