"""The comparison as one HTML file that needs no network.

render.py     gathers what the templates show
sentences.py  what the numbers say, in words
where.py      where models look: checks of the heat maps, mean maps
trust.py      what these checks say, in words
paired.py     what paired tests say beside the bootstrap, and the luck of the first row
advice.py     score against cost, what to use
guidelines.py what to use, in sentences with their numbers
questions.py  groups of models that differ in one thing, in words
uncertainty.py  calibration, and what several kinds of uncertainty are worth
operating.py  operating points
features.py   the map of the features, neighbours, suspected leaks
failures.py   the errors that the chosen model was surest of
subgroups.py  scores of groups of the test images
made.py       settings and environment of the trainings
svg.py        figures as SVG
pictures.py   images as text
templates/    HTML, CSS, JavaScript
"""
