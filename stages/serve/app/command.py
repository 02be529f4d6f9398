"""`python -m stages app`: starts Streamlit in the house's colours, on this machine alone."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

from ...shared.core import settings
from ...shared.core.errors import UserError
from ...study import tool_settings
from ...usage import description
from ..params import Params
from ..port import listening

EXPORT = "LIGHTBOX_APP_EXPORT"
"""Environment variable in which the page finds the export that the command line named."""
LOOK = {
    "theme.font": "sans-serif",
    "theme.headingFont": "serif",
    "theme.baseRadius": "small",
    "theme.light.primaryColor": "#005f99",
    "theme.light.backgroundColor": "#fbfbf9",
    "theme.light.secondaryBackgroundColor": "#f1f2f0",
    "theme.light.textColor": "#1b2026",
    "theme.dark.primaryColor": "#3d93cc",
    "theme.dark.backgroundColor": "#14171a",
    "theme.dark.secondaryBackgroundColor": "#1f2428",
    "theme.dark.textColor": "#e8eaec",
}
"""The colours of the report."""
MANNERS = {
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "none",  # an error may name a file
    "client.toolbarMode": "minimal",
    "server.fileWatcherType": "none",
    "server.headless": "true",
}


def add_commands(commands: Any) -> None:
    app = commands.add_parser(
        "app",
        help="A page in the browser on which the model reads images.",
        description=description(
            "Open a page on which one uploads an image, or takes one of the study, and sees what the model answers, "
            "how sure it is and what that was worth on the test patients. Not for diagnosis. Runs until Ctrl-C. "
            "docs/app.md explains it.",
            reads="params.yaml (section serve), the champion of the registry or models/onnx/<key>/, data/ for examples",
            writes="nothing",
            example="python -m stages app --port 8502",
        ),
    )
    app.add_argument("--port", type=int, default=8501, help="of this machine; default: 8501")
    app.add_argument("--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1, this machine alone")
    app.add_argument(
        "--folder",
        type=Path,
        help="an export; default: the champion of the registry, else the model that validation chose",
    )
    app.set_defaults(action=run)


def run(arguments: argparse.Namespace) -> None:
    """Becomes Streamlit, which Ctrl-C ends."""
    if not 0 < arguments.port < 2**16:
        raise UserError(f"--port: {arguments.port}: give 1 to 65535.")
    if find_spec("streamlit") is None:
        raise UserError("Streamlit is not installed. Run `make setup`.")
    listening(arguments.host, arguments.port, "app").close()  # Streamlit would end without a remedy
    limit = tool_settings(Params, settings.read(), "serve").http.body_mb
    options = {**LOOK, **MANNERS, "server.address": arguments.host, "server.port": str(arguments.port)}
    options["server.maxUploadSize"] = str(ceil(limit))
    page = Path(__file__).with_name("page.py")
    command = [sys.executable, "-m", "streamlit", "run", str(page)]
    environment = dict(os.environ)
    if arguments.folder is not None:
        environment[EXPORT] = str(arguments.folder)
    os.execve(sys.executable, [*command, *(f"--{name}={value}" for name, value in options.items())], environment)
