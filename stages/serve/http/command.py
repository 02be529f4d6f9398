"""`python -m stages serve`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...usage import description

if TYPE_CHECKING:
    import socket

    from ..params import Http, Params
    from .follower import Follower
    from .models import Models

KEY = "LIGHTBOX_API_KEY"


def add_commands(commands: Any) -> None:
    serve = commands.add_parser(
        "serve",
        help="Answer HTTP requests with an exported model.",
        description=description(
            "Answer HTTP requests with the champion of the registry, which it follows; without one, with the model "
            "that validation chose. Runs until Ctrl-C. Imports no torch. Set LIGHTBOX_API_KEY to ask for a key. "
            "docs/serving.md explains it.",
            reads="params.yaml (section serve), the registry of MLFLOW_TRACKING_URI or models/onnx/<key>/",
            writes="where serve.http.log is on: .lightbox/served/, features and scores, never images or names",
            example="python -m stages serve --port 8000",
        ),
    )
    serve.add_argument("--host", help="address to listen on; default: serve.http.host of params.yaml")
    serve.add_argument("--port", type=int, help="default: serve.http.port of params.yaml; 0: any that is free")
    what = serve.add_mutually_exclusive_group()
    what.add_argument("--folder", type=Path, help="serve this export (models/onnx/<key>), whatever the registry says")
    what.add_argument("--champion", action="store_true", help="serve the champion only; wait until there is one")
    serve.set_defaults(action=run)


def run(arguments: argparse.Namespace) -> None:
    from ...shared.core.process import Terminated
    from ...shared.core.settings import read
    from ...study import registered_name
    from ..port import listening

    raw = read()
    params, follower = params_of(arguments, raw), None
    settings, say = params.http, logger()
    with listening(settings.host, settings.port, "serve") as listener:
        try:
            name = registered_name(raw)
            models, metrics = make_models(params, name, arguments.folder, arguments.champion)
            if arguments.folder:
                models.serve(arguments.folder)
            else:
                follower = follow(models, params, name, arguments.champion)
            key = os.environ.get(KEY, "").strip() or None  # headers come without spaces around them
            if key is None and settings.host not in ("127.0.0.1", "::1", "localhost"):
                say.warning("every machine that reaches %s may ask; set %s to ask for a key", settings.host, KEY)
            listen(models, metrics, settings, key, listener)
        except (KeyboardInterrupt, Terminated):
            pass  # the ways to end it
        finally:
            if follower:
                follower.stop()


def params_of(arguments: argparse.Namespace, raw: Mapping[str, Any]) -> Params:
    """Of params.yaml, and what the command line says beside it."""
    from ...shared.core.errors import UserError
    from ...study import tool_settings
    from ..params import Params

    params = tool_settings(Params, raw, "serve")
    own = params.http
    port = own.port if arguments.port is None else arguments.port
    if not 0 <= port < 2**16:
        raise UserError(f"--port: {port}: give 0 to 65535.")
    if arguments.champion and own.alias is None:
        raise UserError("--champion: params.yaml says serve.http.alias: null. Write champion there.")
    http = own.model_copy(update={"port": port, "host": arguments.host or own.host})
    return params.model_copy(update={"http": http})


def make_models(params: Params, name: str, folder: Path | None, champion_only: bool) -> tuple[Models, Any]:
    """`name`: of the registered model."""
    import hashlib
    from functools import partial

    from ...shared.core.paths import project_root
    from ..service import Service
    from .chosen import chosen_export
    from .metrics import Metrics
    from .models import Models

    # of the model that is followed: while its registry is away, no other one is taken for it
    followed = f"{os.environ.get('MLFLOW_TRACKING_URI', '')} {name}@{params.http.alias}"
    digest = hashlib.sha256(followed.encode()).hexdigest()
    pixels = int(params.http.megapixels * 1e6)
    metrics = Metrics()
    models = Models(
        metrics,
        lambda folder, version: Service.open(folder, version, pixels),
        None if champion_only or folder else partial(chosen_export, params.reading),
        project_root() / ".lightbox" / "serve" / f"champion-{digest[:16]}.json",
    )
    return models, metrics


def follow(models: Models, params: Params, name: str, champion_only: bool) -> Follower | None:
    """The first model, and who brings the next ones. `name`: of the registered model."""
    from ...shared.core.errors import UserError
    from .chosen import chosen_export
    from .follower import Follower

    if params.http.alias is None:
        folder = chosen_export(params.reading)
        models.serve(folder, str(folder))
        return None
    follower = Follower(f"models:/{name}@{params.http.alias}", params.http.poll, models.hear)
    follower.start()
    if not champion_only:
        models.wait()
        if models.service is None and models.registry is not None and models.refused is not None:
            reason = models.refused.reason  # nobody is champion, and there is no other model
            follower.stop()
            raise UserError(reason)
    return follower


def listen(models: Models, metrics: Any, settings: Http, key: str | None, listener: socket.socket) -> None:
    """Until Ctrl-C or SIGTERM; what is under way is answered first."""
    import uvicorn

    from ...shared.exported import served
    from .app import make_app

    app = make_app(models, metrics, settings, key, served.folder() if settings.log else None)
    # no access log: it would keep the addresses of those who ask
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=30, server_header=False
    )
    host, port = listener.getsockname()[:2]
    logger().info("http://%s:%d/docs shows what can be asked. Ctrl-C ends it.", host, port)
    uvicorn.Server(config).run(sockets=[listener])


def logger() -> Any:
    """Times and messages, to the standard error."""
    import logging
    import warnings

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("lightbox.serve")
    log.setLevel(logging.INFO)
    log.handlers, log.propagate = [handler], False
    for library in ("python_multipart", "pydicom"):  # they repeat what was sent
        logging.getLogger(library).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")  # so do those of pydicom
    return log
