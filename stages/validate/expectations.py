"""Expectations that the user wrote: a YAML file of Great Expectations' types on the columns of the images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

from ..shared.core import metadata
from ..shared.core.errors import UserError, unknown
from ..shared.core.paths import find_input
from .checks import Check, Row
from .params import Params, Severity

OWN = ("type", "column", "severity", "description")
SEVERITIES: dict[str, Severity] = {name: name for name in get_args(Severity)}
COLUMNS = (
    "path", "label", "patient", "site", "has_mask", "provided_split", "width", "height", "short_side", "long_side",
    "aspect", "mode", "quantisation", "brightness", "contrast", "sharpness",
)  # fmt: skip


def read(params: Params) -> list[Check]:
    """A check for each entry of the file.

    Raises:
        UserError: the file is missing; the message begins with the field. It is no list of mappings, or has a type, a
            column, a severity or an argument that does not exist: the message begins with the file and the line.
    """
    path, columns = params.expectations, columns_of(params)
    entries = enumerate(load(path), start=1)
    return [check_of(entry, columns, f"{path}: line {line}", i) for i, (line, entry) in entries]


def columns_of(params: Params) -> dict[str, str]:
    """What an entry may name -> the column of the table of images. Metadata go by their own name."""
    described = [*(params.labels.metadata if params.labels else ()), *params.dicom.metadata]
    return dict(zip(COLUMNS, COLUMNS, strict=True)) | {name: metadata.column(name) for name in described}


def load(path: str) -> Sequence[tuple[int, Any]]:
    """Each entry with the line on which it begins, from 1."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    file, yaml = find_input(Path(path)), YAML(typ="safe", pure=True)
    try:
        text = file.read_text(encoding="utf-8")
        entries = yaml.load(text)
    except FileNotFoundError:
        raise UserError(
            f"expectations: {path}: no such file. Write one (an empty one for no expectations), or name another."
        ) from None
    except MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(
            f"{path}: {line}not readable as YAML: {error.problem or error.context}. Fix the line."
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as YAML: {error}. Save the file as UTF-8.") from None
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise UserError(f"{path}: expected a list of expectations, found {type(entries).__name__}.")
    return [(node.start_mark.line + 1, entry) for node, entry in zip(yaml.compose(text).value, entries, strict=True)]


def check_of(entry: Any, columns: Mapping[str, str], where: str, number: int) -> Check:
    if not isinstance(entry, Mapping) or not {"type", "column"} <= set(entry):
        raise UserError(f"{where}: {entry!r} has no type or no column. Write {{type: …, column: …}}.")
    kind, column, severity = str(entry["type"]), str(entry["column"]), str(entry.get("severity", "warning"))
    if severity not in SEVERITIES:
        raise unknown(f"{where}: severity", severity, SEVERITIES)
    if column not in columns:
        raise unknown(f"{where}: column", column, columns)
    arguments = {"column": columns[column]} | {name: value for name, value in entry.items() if name not in OWN}
    build(kind, arguments, where)
    description = entry.get("description") or in_words(kind, arguments | {"column": column})
    name = f"expectation_{number}/{column}"
    in_row = partial(reason, column, columns[column], description)
    return Check(name, SEVERITIES[severity], description, camel(kind), arguments, in_row)


def build(kind: str, arguments: Mapping[str, Any], where: str) -> None:
    """Ask Great Expectations, which takes a second or two to import."""
    from .suite import column_types

    types = column_types()
    if camel(kind) not in types:
        raise unknown(f"{where}: type", kind, [snake(name) for name in types])
    try:
        types[camel(kind)](**arguments)
    except (TypeError, ValueError) as error:  # pydantic's are ValueErrors
        detail = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in faults(error)) or str(error)
        raise UserError(f"{where}: {kind}: {detail}.") from None


def faults(error: Exception) -> list[Any]:
    """Of a validation error of pydantic, of either version."""
    errors = getattr(error, "errors", None)
    return list(errors()) if callable(errors) else []


def reason(name: str, column: str, description: str, row: Row) -> str:
    return f"{description} Here {name} is {row[column]}."


def in_words(kind: str, arguments: Mapping[str, Any]) -> str:
    """expect_column_values_to_be_between -> "age: values to be between (min_value 0, max_value 110)"."""
    words = snake(camel(kind)).removeprefix("expect_column_").replace("_", " ")
    options = ", ".join(f"{name} {value}" for name, value in arguments.items() if name != "column")
    return f"{arguments['column']}: {words}{f' ({options})' if options else ''}."


def camel(kind: str) -> str:
    return kind if "_" not in kind else "".join(part.capitalize() for part in kind.split("_"))


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
