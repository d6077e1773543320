"""Rules of shape for one module: its length, its functions' lengths, what its classes inherit, its names."""

import ast
import re
from collections.abc import Iterator
from typing import TypeVar

from tests.tidy.sources import Source

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
FILE_BYTES_MAX = 400_000
ROOMS_WITHOUT_PURPOSE = re.compile(
    r"(abstract|base|common|core|handler|helper|impl|manager|misc|util)s?|service", re.IGNORECASE
)
CLASSES_WITHOUT_PURPOSE = re.compile(r"Abstract\w+|I[A-Z][a-z]\w*|\w+(Base|Handler|Helper|Impl|Manager|Service|Utils?)")
SHAPES = {"Protocol", "Generic", "Struct", "NamedTuple", "TypedDict", "Enum", "IntEnum", "StrEnum", "IntFlag", "Flag"}
Node = TypeVar("Node", bound=ast.AST)


def module_is_short(file: Source) -> Iterator[str]:
    lines = file.text.count("\n")
    if file.is_python and lines > MODULE_LINES_MAX:
        yield f"{file.path} has {lines} lines, more than {MODULE_LINES_MAX} (hint: make it a folder)"


def functions_are_short(file: Source) -> Iterator[str]:
    for node in _functions(file):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield f"{file.path}:{node.lineno} {node.name} has {lines} lines, more than {FUNCTION_LINES_MAX}"


def nothing_inherits_but_errors(file: Source) -> Iterator[str]:
    for node in _nodes(file, ast.ClassDef) if file.is_product else ():
        families = {_last_name(base) for base in node.bases} - SHAPES
        if families and not any(name.endswith(("Error", "Exception")) for name in families):
            yield f"{file.path}:{node.lineno} {node.name} inherits {', '.join(sorted(families))}: compose instead"


def names_say_a_purpose(file: Source) -> Iterator[str]:
    for part in file.path.parts:
        if ROOMS_WITHOUT_PURPOSE.fullmatch(part.removesuffix(".py")):
            yield f"{file.path}: {part} says nothing about what is inside"
    for node in _nodes(file, ast.ClassDef):
        if CLASSES_WITHOUT_PURPOSE.fullmatch(node.name):
            yield f"{file.path}:{node.lineno} {node.name}: name it after what it is"


def nothing_is_large(file: Source) -> Iterator[str]:
    if file.size_bytes > FILE_BYTES_MAX:
        yield f"{file.path} has {file.size_bytes} bytes, more than {FILE_BYTES_MAX}"


def _nodes(file: Source, kind: type[Node]) -> Iterator[Node]:
    if file.is_python:
        yield from (node for node in ast.walk(ast.parse(file.text)) if isinstance(node, kind))


def _functions(file: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from _nodes(file, ast.FunctionDef)
    yield from _nodes(file, ast.AsyncFunctionDef)


def _last_name(base: ast.expr) -> str:
    """`msgspec.Struct` -> Struct, `Protocol[T]` -> Protocol."""
    return ast.unparse(base).partition("[")[0].rpartition(".")[2]
