"""Synthetic chest films, fully determined by their seed.

    cohort.py    which films a set consists of, and the faults planted among them
    anatomy.py   what a patient looks like, and how a view of the patient differs from the next
    render.py    anatomy + view -> how much radiation each pixel's ray loses on its way
    findings.py  what disease adds to that, and where
    film.py      all of these -> an 8-bit film and its masks: exposure, quantum noise, grain, gamma
    members.py   the films of a cohort -> data/raw.zip

Coordinates are those of the patient, as one reads a film: x from -1 (patient's right) to 1, y from -1 (top) to 1.
"""
