"""Change params.yaml and keep its comments: what presets and the search of settings have in common."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

from .shared.core import settings
from .shared.core.files import atomic
from .shared.core.paths import PARAMS

Document = MutableMapping[str, Any]


@contextmanager
def rewriting() -> Iterator[Document]:
    """The file as ruamel's mapping, with its comments, to change in place. It is written at the end of the block; an
    error in the block leaves the file as it was."""
    from ruamel.yaml import YAML

    # nothing set, and lists over lines: the layout in which DVC writes params.yaml, so that `-S` changes what it has to
    yaml = YAML()
    document = yaml.load(PARAMS.read_text(encoding="utf-8"))
    yield document
    with atomic(PARAMS) as partial:
        yaml.dump(document, text := io.StringIO())
        # ruamel keeps the column of a comment, and pads where a value became shorter
        partial.write_text(re.sub(r"(?<=\S) +# ", " # ", text.getvalue()), encoding="utf-8")
        if settings.read(partial) != document:
            raise AssertionError(f"{PARAMS}: rewriting it with its comments would have changed its meaning; left alone")


def overlay(base: Document, values: Mapping[str, Any], whole: Collection[str] = (), where: str = "") -> None:
    """Set `values` in `base`, mapping by mapping, in place: so the comments of `base` stay. A mapping that is taken
    whole (`whole`: their dotted places), or a list, loses the comments inside it."""
    for key, value in values.items():
        path = f"{where}{key}"
        inner: Any = base.get(key)
        nested = isinstance(value, Mapping) and isinstance(inner, MutableMapping)
        # a strategy, or an optimiser, schedule or loss of another name, has keys of its own
        if nested and path not in whole and "plan" not in value and value.get("name") in (None, inner.get("name")):
            overlay(inner, value, whole, f"{path}.")
        elif key in base:
            base[key] = in_layout_of(inner, value)
        else:  # not at the end: the empty line below a section belongs to its last entry
            insert = getattr(base, "insert", lambda _, key, value: base.update({key: value}))
            insert(max(0, len(base) - 1), key, value)


def in_layout_of(old: Any, value: Any) -> Any:
    """A mapping that takes the place of one in braces is written in braces."""
    if not isinstance(value, Mapping) or not hasattr(old, "fa") or not old.fa.flow_style():
        return value
    result = type(old)(value)
    result.fa.set_flow_style()
    return result
