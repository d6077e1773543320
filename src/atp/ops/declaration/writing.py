"""Typed values -> plain JSON values, written as people declare them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from atp.ops.declaration.durations import format_duration, format_instant


def plain(value: Any) -> Any:
    """The value as JSON holds it; fields without a value are left out. Reading it again gives an equal value."""
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, datetime):
        return format_instant(value)
    if isinstance(value, msgspec.Struct):
        pairs = ((field.encode_name, getattr(value, field.name)) for field in msgspec.structs.fields(type(value)))
        return {name: plain(inner) for name, inner in pairs if inner is not None and inner not in ((), {})}
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, tuple) else value
