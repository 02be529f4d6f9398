"""The export of the model that validation chose, made if need be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ...shared.core.errors import UserError
from ...shared.core.files import read_json
from ...shared.exported import certificate as certificates
from ...shared.exported.chosen import chosen_key
from ...shared.exported.export import ROOT


def chosen_export() -> Path:
    """Its folder. Exporting needs torch, so it happens in a process of its own, which prints what it does.

    Raises:
        UserError: no model is chosen, or it cannot be exported.
    """
    key = chosen_key()
    if not is_current(key):
        done = subprocess.run([sys.executable, "-m", "stages", "export", key], stdout=sys.stderr, check=False)
        if done.returncode:
            raise UserError(f"models/{key}: could not be exported; the lines above say why.")
    return ROOT / key


def is_current(key: str) -> bool:
    """Whether there is an export, of the weights that lie in models/<key> now."""
    certificate = ROOT / key / certificates.FILE
    if not certificate.is_file():
        return False
    recipe = Path("models") / key / "recipe.json"
    return bool(read_json(certificate)["weights_sha256"] == read_json(recipe)["weights_sha256"])
