"""One training step: losses, optimizers, schedules, mixing, moving average."""
