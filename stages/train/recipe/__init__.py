"""One training step.

losses.py      what is made small, per image
watch.py       metrics of the validation images
optimizers.py  which parameters decay
schedules.py   the learning rates over the steps
mixing.py      mixup and cutmix
ema.py         moving average of the weights
"""
