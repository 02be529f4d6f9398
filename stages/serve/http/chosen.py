"""The export of the model that validation chose, made if need be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ...shared.core.errors import UserError
from ...shared.exported.chosen import chosen_key
from ...shared.exported.current import is_current, options
from ...shared.exported.export import ROOT
from ...shared.exported.reading import Reading


def chosen_export(reading: Reading) -> Path:
    """Its folder. Exporting needs torch, so it happens in a process of its own, which prints what it does.

    Raises:
        UserError: no model is chosen, or it cannot be exported.
    """
    key = chosen_key()
    if not is_current(key, reading):
        done = subprocess.run(
            [sys.executable, "-m", "stages", "export", key, *options(key)], stdout=sys.stderr, check=False
        )
        if done.returncode:
            raise UserError(f"models/{key}: could not be exported; the lines above say why.")
    return ROOT / key
