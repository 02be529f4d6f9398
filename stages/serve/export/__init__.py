"""models/<key> -> models/onnx/<key>, which needs no torch to be run (shared/exported reads it).

command.py   the command
make.py      the whole: reads the model and its evaluation, writes the folder when it is certified
graph.py     the network with its normalisation and its calibration, as one module
convert.py   that module -> one ONNX file
openvino.py  ONNX -> OpenVINO, in float32 or INT8 (an extra)
certify.py   the export beside the trained model, on test images
gather.py    what evaluate and train left about a model -> decision.json, training.npz
"""
