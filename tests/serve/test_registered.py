"""Servers answer with the model that gate and promote write: its name is said once."""

from __future__ import annotations

import pytest

from stages.serve.http import command, follower
from stages.serve.http.models import Models
from stages.serve.params import Params
from stages.shared.core.errors import UserError
from stages.study import registered_name, tool_settings


def test_the_server_follows_the_alias_of_the_model_that_promote_writes(monkeypatch):
    watched = []

    class Follower:
        def __init__(self, uri, poll, hear):
            watched.append(uri)

        def start(self):
            pass

    monkeypatch.setattr(follower, "Follower", Follower)
    raw = {"registry": {"name": "chest", "margin": 0.02}, "serve": {"http": {"alias": "challenger"}}}
    params = tool_settings(Params, raw, "serve")
    command.follow(Models(None, None), params, registered_name(raw), champion_only=True)
    assert watched == ["models:/chest@challenger"]
    assert registered_name({}) == "lightbox"


def test_the_key_that_named_the_model_twice_is_refused_with_what_replaces_it():
    raw = {"serve": {"http": {"follow": "models:/chest@champion"}}}
    with pytest.raises(
        UserError, match=r"follow: this key is gone.*models:/chest@champion.*serve\.http\.alias.*registry"
    ):
        tool_settings(Params, raw, "serve")
