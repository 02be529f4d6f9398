"""What is known of the judged images beside the label: the site, and what validate measured of their files."""

from __future__ import annotations

import pandas as pd

from ..shared.core.errors import UserError
from ..shared.core.paths import MANIFEST

OF_FILE = ["width", "height", "brightness", "contrast"]


def describe(table: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """`table` with the columns width, height (pixels of the file), brightness and contrast (mean and standard deviation
    of its grey levels), and site, where there are sites. `index`: of the arrays; its rows are those of `table`.

    Raises:
        UserError: the manifest is missing, damaged, or of other images.
    """
    try:
        manifest = pd.read_parquet(MANIFEST, columns=["path", *OF_FILE]).set_index("path")
    except FileNotFoundError:
        raise UserError(f"{MANIFEST}: missing. Run `dvc repro validate`.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{MANIFEST}: damaged ({error}). Run `dvc repro -f validate`.") from None
    absent = ~table["path"].isin(manifest.index)
    if absent.any():
        raise UserError(
            f"{MANIFEST}: lacks {int(absent.sum())} of the {len(table)} images to judge, the first is "
            f"{table['path'][absent].iloc[0]}. Run `dvc repro preprocess`."
        )
    facts = manifest.loc[table["path"]].astype(float).reset_index(drop=True)
    sites = index[["site"]].reset_index(drop=True) if "site" in index else index[[]].reset_index(drop=True)
    return table.join(facts).join(sites)
