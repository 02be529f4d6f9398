"""MLflow, as a stage sees it. Only this package imports mlflow.

recording.py      a stage's side: open a run, report curves, hand over the result
worker.py         the process that writes to MLflow
ui.py             the UI of the local store, opened on the models
store.py          where runs are kept, and whether that can be reached
aliases.py        a registered model: its versions, and which of them is in use
registry.py       a process that looks up a registered model
follow.py         a process that watches an alias for a server
refusals.py       errors of MLflow and of artifact stores, as ones for people
package.py        what a logged model needs to be served
serving_model.py  the model as MLflow serves it
"""
