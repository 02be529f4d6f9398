"""What this machine does best: device, precision, memory, depthwise convolutions, compilation."""
