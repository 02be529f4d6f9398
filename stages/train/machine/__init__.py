"""What this machine does best.

machine.py    device, precision, memory layout, share of the work: asked once, in one frozen value
memory.py     a step in more parts where the memory does not suffice
depthwise.py  quick gradients of depthwise convolutions in bfloat16
compiling.py  torch.compile
"""
