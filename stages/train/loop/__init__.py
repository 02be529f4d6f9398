"""The training loop on Lightning.

module.py       the training step, and the plan applied epoch by epoch
trainer.py      Lightning's trainer
checkpoints.py  where an interrupted training waits
history.py      what happened, epoch by epoch
"""
