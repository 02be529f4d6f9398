"""The checks as Great Expectations runs them. Importing this takes seconds: do so while the workers inspect images."""

from __future__ import annotations

import os

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # before the import: it would report to its makers

import html
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.row_conditions import Column

from .checks import Check, Outcome

logging.getLogger("great_expectations").setLevel(logging.WARNING)


class Suites:
    """Run checks on tables; `write_docs` then renders every run as Data Docs."""

    def __init__(self, docs: Path) -> None:
        shutil.rmtree(docs, ignore_errors=True)
        docs.mkdir(parents=True)
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]  # a dict is documented
        for name in list(self._context.list_data_docs_sites()):
            self._context.delete_data_docs_site(name)
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        site = {"class_name": "SiteBuilder", "site_index_builder": index, "store_backend": store}
        self._context.add_data_docs_site("lightbox", site)  # type: ignore[arg-type]  # a dict is documented
        self._source = self._context.data_sources.add_pandas("archive")

    def run(self, name: str, table: pd.DataFrame, checks: Sequence[Check]) -> list[Outcome]:
        """Every check on `table`, whose column `path` names its rows; outcomes in the order of `checks`.

        Great Expectations puts what it is given into its pages as it is, so that a file or a class named like an HTML
        tag would become one: it is given escaped names.
        """
        names = table.columns.intersection(["path", "label", "image", "structure"])
        table = table.assign(**{name: table[name].map(html.escape, na_action="ignore") for name in names})
        batch = self._source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        suite = self._context.suites.add(gx.ExpectationSuite(name, expectations=[_expectation(c) for c in checks]))
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        result = self._context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": table},
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["path"]},
        )
        results: dict[str, Any] = {r.expectation_config.meta["check"]: r for r in result.results}  # type: ignore[union-attr]  # we gave each one
        return [_outcome(check, results[check.name]) for check in checks]

    def write_docs(self) -> None:
        self._context.build_data_docs()


def column_types() -> dict[str, type[Expectation]]:
    """Great Expectations' own expectations on the values of one column, by name."""
    kinds = {name: kind for name, kind in vars(gxe).items() if isinstance(kind, type) and issubclass(kind, Expectation)}
    return {
        name: kind for name, kind in kinds.items()
        if name.startswith("ExpectColumn") and "column" in kind.__fields__
    }  # fmt: skip


def _expectation(check: Check) -> Expectation:
    arguments = dict(check.arguments)
    if "label" in arguments:
        arguments["row_condition"] = Column("label") == html.escape(arguments.pop("label"))
    kind: Callable[..., Expectation] = getattr(gxe, check.kind)
    description = html.escape(check.description)
    return kind(**arguments, severity=check.severity, description=description, meta={"check": check.name})


def _outcome(check: Check, result: Any) -> Outcome:
    raised = result.exception_info
    if raised and raised.get("raised_exception", True):  # a bug in a check; it must not count as a fault of the images
        raise RuntimeError(f"Great Expectations could not run {check.name}: {raised}")
    rows = result.result.get("unexpected_index_list") or []
    return Outcome(check, bool(result.success), sorted(html.unescape(row["path"]) for row in rows))
