"""Where a value stands in a decoded record: the path language of mappings.

A path is member names joined by dots: `userIdentity.arn`. A name that holds a dot, a bracket, a brace or a bar is
quoted: `annotations."authorization.k8s.io/decision"`. `name[]` goes on with every element of the list `name`, in
order: `events[].name`; `name[key=value]` with those alone whose member `key` has the text `value`:
`parameters[name=doc_id].value`. That is all of it.

A path is read as text: strings without outer white space, integers and floats in decimal, `true` and `false`. Objects,
lists, `null` and missing members have no text, so that the next alternative of a field gets its turn.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple


class Elements(NamedTuple):
    """A step into a list: to every element, or with a key to those whose member `key` has the text `value`."""

    key: str | None = None
    value: str | None = None


Path = tuple[str | Elements, ...]
ReadText = Callable[[Any], str]

_NAME = r'(?:"(?P<quoted>[^"]+)"|(?P<plain>[^."\[\]{}|\s]+))'
_ELEMENTS = r"(?P<elements>\[(?:(?P<key>[^\[\]=]+)=(?P<value>[^\[\]]+))?\])?"
_STEP = re.compile(rf"{_NAME}{_ELEMENTS}(?P<dot>\.|$)")


def parse_path(text: str) -> Path:
    """The steps of a path. ValueError with the place when it is none."""
    steps: list[str | Elements] = []
    at = 0
    while match := _STEP.match(text, at):
        steps.append(match["quoted"] or match["plain"])
        if match["elements"]:
            steps.append(Elements(match["key"], match["value"]))
        at = match.end()
        if not match["dot"]:
            return tuple(steps)
    raise ValueError(f"{text!r} is not a path: expected a name at character {at + 1}")


def find_all(value: Any, path: Path) -> Iterator[Any]:
    """Every value at `path`, in the order of the record. Costs one step per name and element."""
    if not path:
        yield value
    elif isinstance(step := path[0], Elements):
        for element in value if isinstance(value, list) else ():
            if step.key is None or (isinstance(element, dict) and as_text(element.get(step.key)) == step.value):
                yield from find_all(element, path[1:])
    elif isinstance(value, dict) and step in value:
        yield from find_all(value[step], path[1:])


def find(value: Any, path: Path) -> Any:
    """The first value at `path`, or None."""
    return next(find_all(value, path), None)


def as_text(value: Any) -> str:
    """A scalar as text, empty for everything that has none."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else ""


def text_reader(*paths: Path, absent: frozenset[str] = frozenset()) -> ReadText:
    """A function from a record to the first text at one of the paths; texts in `absent` count as missing."""
    absent |= {""}
    names = [[step for step in path if isinstance(step, str)] for path in paths]
    if all(len(path) == 1 for path in paths):
        return _member_reader([name for (name,) in names], absent)
    if len(paths) == 1 and len(names[0]) == len(paths[0]):
        return _nested_reader(names[0], absent)

    def read(record: Any) -> str:
        texts = (as_text(value) for path in paths for value in find_all(record, path))
        return next((text for text in texts if text not in absent), "")

    return read


def _member_reader(names: Sequence[str], absent: frozenset[str]) -> ReadText:
    # Nine of ten paths are one name, so this one is written for speed.
    def read(record: Any) -> str:
        for name in names:
            value = record.get(name)
            if value is not None:
                text = value.strip() if type(value) is str else as_text(value)
                if text not in absent:
                    return text
        return ""

    return read


def _nested_reader(names: Sequence[str], absent: frozenset[str]) -> ReadText:
    def read(record: Any) -> str:
        value = record
        for name in names:
            if type(value) is not dict:
                return ""
            value = value.get(name)
        text = as_text(value)
        return "" if text in absent else text

    return read
