"""The training loop on Lightning: module.py, trainer.py, checkpoints.py, history.py."""
