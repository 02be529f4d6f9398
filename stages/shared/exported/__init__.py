"""An exported model, models/onnx/<key>, read and run without torch, MLflow or (but for source.py) pandas.

export.py       Export: the folder, checked; bytes -> answers -> decisions
session.py      ONNX Runtime or OpenVINO, whichever the export was certified with
certificate.py  certificate.json: how far the export is from the trained model, and the digests of its files
decision.py     decision.json: thresholds, prediction sets, abstention, and on whom they were tested
reading.py      what an answer means in plain words (settings)
heat_maps.py    what explain found of its heat maps
training.py     training.npz: the images it learned from, as features and facts; held_out.npz: those it did not
chosen.py       the model that validation chose
current.py      is an export still that of the model and the evaluation that lie here
facts.py        what is measured of an image as it comes
source.py       images of the study with their masks, for tools that ask a model about many; with pandas
served.py       what a server remembers of the images it has seen: features and facts, no image
"""
