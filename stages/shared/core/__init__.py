"""What everything else uses: errors for people, whole files, paths, settings, jobs, progress.

errors.py       UserError: the file or key, the bad value, the valid ones, the remedy
credentials.py  addresses without the passwords and tokens in them
words.py        words for people
files.py        whole files or none; JSON
paths.py        where the files between stages lie, and the key of a matrix member
settings.py     params.yaml, and messages for what is wrong in it
registered.py   the name of the study's model in MLflow's registry
metadata.py     what is known of an image beside its label
task.py         the names of the tasks
matrix.py       which models the study trains
judging.py      how predictions are judged: draws, intervals, thresholds
deal.py         groups -> parts, as even as possible
groups.py       which images must stay together: of a patient, and of patients who share a picture
job.py          what a stage is given and what it gives back
progress.py     progress bars
hardware.py     cores and memory that this process may use
environment.py  where a result was made: commit, versions, hardware
process.py      several processes that train one model; SIGTERM
code.py         digest of source code without comments and docstrings
earlier.py      what earlier runs of a stage computed
time_limit.py   an end for regular expressions that have none
allocator.py    memory kept between the steps of a training
"""
