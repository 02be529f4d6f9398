"""One training step; its loss and its metrics are the task's (shared/tasks).

optimizers.py  which parameters decay
schedules.py   the learning rates over the steps
mixing.py      mixup and cutmix
resizing.py    small images first
ema.py         moving average of the weights
batchnorm.py   running statistics that fit the weights
"""
