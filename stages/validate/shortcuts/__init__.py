"""Can the label be told from what should not matter? Asked before anyone trains.

evidence.py  images -> numbers without the disease in them: of the file, the border, outside the structures
meter.py     numbers and labels -> AUROC of patients that a linear model has not seen, and whether it is too high
measure.py   all meters of an image set, in words and numbers; what the mean image of each class looks like
"""
