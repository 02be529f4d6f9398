"""Many models on one machine: carry the members of the matrix through train, evaluate and explain, several at a time.

Not a stage but a driver of DVC, for which DVC knows no option: it runs one stage after the other. Each member is one
`dvc repro --single-item train@… evaluate@… explain@…` in a process of its own; DVC's locks, which it drops while a
stage computes, keep them apart. What is up to date costs a member about 0.7 s. A plain `dvc repro` finds nothing left.

Threads are shared out, and sums in another order may differ in their last bits: a model trained on one thread may
differ slightly from the same one trained on two, as it does between machines.
"""

from __future__ import annotations

from .work import carry_all

__all__ = ["carry_all"]
