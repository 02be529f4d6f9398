"""`python -m stages params`: write docs/params.md, every setting of params.yaml, from the docstrings of its fields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from . import study
from .shared.core.files import atomic
from .shared.core.matrix import Matrix
from .tools import TOOLS

PATH = Path("docs/params.md")
INTRODUCTION = """# Every setting

What `params.yaml` may say, section by section. Written by `python -m stages params` from the code, which refuses
everything else. `python -m stages check` asks whether your file is right, and names the place where it is not.

A key with a dot lies inside another: `optimizer.lr` of `train` is `train: {optimizer: {lr: …}}`. A word in brackets
says for which choice a key exists: `optimizer.momentum (sgd)`.

- `task`: classification | segmentation | anomaly ([three tasks](tasks.md)).
- `seed`: a whole number from 0. Of training, bootstrap and choices; the drawn films and the split have their own.
"""
ENTRIES = {
    "backbones": "A table of networks; each entry has a name of your choice, which `matrix.backbone` lists.",
    "strategies": "A table; each entry has a name of your choice, which `matrix.strategy` lists.",
    "samples": "A table; each entry has a name of your choice, which `matrix.sample` lists.",
}
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
MOST = 60  # characters of a default
MANY = 12  # values of a list

Schema = Mapping[str, Any]


def write() -> None:
    with atomic(PATH) as partial:
        partial.write_text(page(), encoding="utf-8")
    print(f"{PATH} is written.")


def page() -> str:
    parts = [INTRODUCTION, *_section("matrix", Matrix, "Which models are trained: one per combination.")]
    for table, model in study.TABLES.items():
        parts += _section(table, model, ENTRIES[table])
    for name, module in {**study.STAGES, **TOOLS}.items():
        about = (module.Params.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")
        if name in study.STAGES:
            about = (module.__doc__ or "").partition("\n")[0]
        parts += _section(name, module.Params, about)
    return "\n".join(parts)


def _section(name: str, model: Any, about: str) -> list[str]:
    schema = TypeAdapter(model).json_schema()
    outer = study.outer_fields(name) if name in study.STAGES else []
    rows = [row for row in _rows(schema, schema, "", "") if row[0].partition(".")[0] not in outer]
    lines = [f"| `{key}`{choice} | {values} | {default} | {text} |" for key, choice, values, default, text in rows]
    return [
        f"## {name}\n",
        f"{about}\n",
        "| key | values | default | what it does |",
        "| --- | --- | --- | --- |",
        *lines,
        "",
    ]


def _rows(schema: Schema, root: Schema, path: str, choice: str) -> Iterator[tuple[str, str, str, str, str]]:
    """(key, choice, values, default, description) of a model and of all models inside it."""
    for kind, model in _models(schema, root):
        which = f" ({kind})" if kind else choice
        for name, field in model.get("properties", {}).items():
            inner = [own for _, own in _models(field, root)]
            values = "settings below" if inner else _values(field, root)
            default = _cell(_default(field["default"], bool(inner))) if "default" in field else "–"
            yield f"{path}{name}", which, _cell(values), default, _cell(field.get("description", ""))
            if inner:
                yield from _rows(field, root, f"{path}{name}.", which)


def _models(schema: Schema, root: Schema) -> list[tuple[str, Schema]]:
    """The models that a value may be, each with its choice: of a union the `name` or `plan`, else nothing."""
    if "$ref" in schema:
        target = root["$defs"][schema["$ref"].rpartition("/")[2]]
        return _models(target, root)
    if "properties" in schema:
        return [("", schema)]
    mapping = schema.get("discriminator", {}).get("mapping")
    if mapping:
        kinds: dict[str, str] = {}
        for tag, ref in mapping.items():
            kinds[ref] = f"{kinds[ref]}, {tag}" if ref in kinds else tag
        return [(tags, model) for ref, tags in kinds.items() for _, model in _models({"$ref": ref}, root)]
    return [pair for option in schema.get("anyOf", schema.get("oneOf", ())) for pair in _models(option, root)]


def _values(schema: Schema, root: Schema) -> str:
    """What a value may be, in a few words."""
    if "$ref" in schema:
        return _values(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return _short(f"`{value}`" for value in schema["enum"])
    if options := schema.get("anyOf", schema.get("oneOf")):
        return " or ".join(dict.fromkeys(_values(option, root) for option in options))
    kind = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "true \\| false",
        "null": "null",
    }
    limits = " ".join(f"{sign} {schema[limit]:g}" for limit, sign in LIMITS.items() if limit in schema)
    if schema.get("type") == "array":
        return f"list of {_values(schema['items'], root)}" if schema.get("items") else "list"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"mapping to {_values(inner, root)}" if isinstance(inner, Mapping) and inner else "mapping"
    return f"{kind.get(schema.get('type', ''), 'any')} {limits}".strip()


def _default(value: Any, has_settings: bool) -> str:
    if value in ("", [], {}):
        return "empty"
    if isinstance(value, Mapping) and has_settings:
        return "theirs"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= MOST else "as in `params.yaml`"


def _short(values: Iterable[str]) -> str:
    """The first ones, where there are many."""
    first = list(values)
    return " \\| ".join([*first[:MANY], *(["…"] if len(first) > MANY else [])])


def _cell(text: str) -> str:
    """Fit for a cell of a table."""
    return " ".join(text.split()).replace(" | ", " \\| ")
