"""Several models at a time on one machine: train, evaluate and explain the members of the matrix in parallel.

Not a stage but a driver of DVC, for which DVC has no option: it runs one stage after the other. Each member is one
`dvc repro --single-item train@… evaluate@… explain@…` in a process of its own. DVC's locks, which it releases while a
stage computes, keep them apart. A member that is up to date costs about 0.7 s. A plain
`dvc repro` then has nothing to do.

Threads are divided among the jobs, and sums in another order may differ in their last bits: a model trained on one
thread may differ slightly from the same one trained on two, as it does between machines.

driver.py    the whole: the stages before the models, the models, the stages behind them, the last message
machine.py   cores and GPUs, divided among the jobs
member.py    one member as a process of DVC, and what its log says
schedule.py  so many processes at a time; how all of them end
display.py   what happens, in words
"""
