"""Do two samples of images differ, in what, and by how much? numpy alone; nothing here knows files or models.

sample.py        images of patients, as the statistics see them; the two samples one below the other
permutation.py   which patients are the new ones: as it is, and in every permutation
classifier.py    can a classifier tell the new images from the reference? (AUC)
kernel.py        are the distributions of the features the same? (MMD)
facts.py         are those of single facts the same, such as brightness? (Kolmogorov–Smirnov)
prevalence.py    how frequent is each class among the new images, if a class looks as it did? (BBSE)
battery.py       all of these together, p values adjusted

The unit is the patient. All p values come from permutations of whole patients, and each patient counts once, however
many images there are of it: images of one patient resemble each other, and two of them are no second witness.

Shapes: N images of both samples, P patients, R rows: that as it is, then the permutations.
"""
