"""Models on other machines: as tasks of Ray, or as jobs of Slurm.

Results travel by DVC's run-cache on a remote that all machines share. The head makes the stages before the models and
pushes what these read. A worker clones the repository at the head's commit, pulls that, runs the stages of one model
and pushes each. The head then restores all models and writes dvc.lock alone: it trains nothing, and nothing is merged.

head.py      the whole: checks before any work; orders to workers; results restored
commit.py    which commit workers run: nothing uncommitted, and they can clone it
remote.py    the DVC remote: is there one, can it be used, what workers have to know of it
orders.py    what one worker has to do: targets, inputs, the part of dvc.lock that names these
worker.py    what it then does; sent to it by value
jobs.py      a model on its way, as the scheduler sees it
restore.py   results out of the run-cache, without running anything
on_ray.py    a task per model
on_slurm.py  a job per model, by submitit
"""
