"""The whole study: several models at a time, on one machine or a cluster, and stages that start in a fraction of a
second.

Not a stage but a driver of DVC, which runs one stage after the other. Each member of the matrix is one
`dvc repro --single-item train@… evaluate@… explain@…` in a process of its own. DVC's locks, which it releases while a
stage computes, keep them apart. A plain `dvc repro` then has nothing to do.

Threads are divided among the jobs, and sums in another order may differ in their last bits: a model trained on one
thread may differ slightly from the same one trained on two, as it does between machines.

command.py   the command
params.py    the settings
driver.py    the whole: the stages before the models, the models, the stages behind them, the last message
stamp.py     is there anything to do
machine.py   cores and GPUs, divided among the jobs
member.py    one member as a process of DVC, and what its log says
dvc_lock.py  is the file sound in which DVC notes what runs
dvc.py       DVC, with a quicker way to note what a stage has done
schedule.py  so many jobs at a time; how all of them end
display.py   what happens, in words
server.py    has all libraries imported, and forks a process for each command
client.py    a command that the server runs
cluster/     models on other machines, by Ray or Slurm
"""
