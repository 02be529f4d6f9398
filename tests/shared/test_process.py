"""Several processes that train one model."""

from __future__ import annotations

import pytest

from stages.shared.core.errors import UserError
from stages.shared.core.process import check_world
from stages.train.params.machine import Trainer


def test_a_launcher_that_starts_another_number_of_processes_is_refused(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    check_world(2)  # Lightning starts them itself
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_world(2)
    for wanted in (1, 3):
        with pytest.raises(UserError, match=rf"devices × num_nodes is {wanted}, and the launcher started 2 processes"):
            check_world(wanted)


@pytest.mark.parametrize("devices", [[-1], [0, 0]])
def test_devices_are_named_once_each(devices):
    with pytest.raises(ValueError, match="named once"):
        Trainer(devices=devices, strategy="ddp")
