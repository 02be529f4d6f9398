"""An exported model behind HTTP.

command.py   the command `serve`: settings, what is served at first, start and end
models.py    the model that answers now; how another one takes over, or is refused
follower.py  hears from the registry, through a process of its own, which version is the champion
chosen.py    the export of the model that validation chose, made if need be
app.py       the paths: predict, health, ready, version, metrics
schema.py    what they answer
batcher.py   one thread that runs models, on the images of several requests at once
guard.py     before every request: key, size, time; after it: no trace of an error
metrics.py   for Prometheus
"""
