"""A training in a process of its own, for tests that interrupt it: ends with the message and the exit code of a stage."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from typing import Any

from stages.commands import exit_code
from stages.shared.core.job import Job
from stages.shared.core.paths import Key
from stages.train import Params, stage
from stages.train.loop.module import Learner


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("params", help="JSON")
    parser.add_argument("--signal", help="which this process sends itself, such as SIGKILL, in --batch of --epoch")
    parser.add_argument("--epoch", type=int, default=0)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--pause", action="store_true", help="say so and wait before the first epoch")
    options = parser.parse_args()
    params = Params.model_validate_json(options.params)
    if options.signal:
        stage.Learner = dying(signal.Signals[options.signal], (options.epoch, options.batch))  # type: ignore[misc]
    if options.pause:
        stage.prepare = pause  # type: ignore[assignment]
    return exit_code(lambda: stage.run(params, Job(Key("small_cnn", "from_scratch", "full"))).discard())


def dying(number: signal.Signals, when: tuple[int, int]) -> type[Learner]:
    class Dying(Learner):
        def training_step(self, batch: Any, batch_number: int) -> Any:
            if (self.current_epoch, batch_number) == when:
                os.kill(os.getpid(), number)
            return super().training_step(batch, batch_number)

    return Dying


def pause(*_: Any) -> None:
    print("pausing", file=sys.stderr, flush=True)
    time.sleep(60)


if __name__ == "__main__":
    sys.exit(main())
