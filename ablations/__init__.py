"""The grid driver: studies, cells, stacks, evaluation, the command line."""

import os

# Threads that wait should sleep, not spin: with one other busy process on two cores, spinning made training a single
# model 6 to 15 times slower (79 s and 16 s against 5 s and 2.6 s per model-epoch). Read when torch is first imported,
# hence here; whoever sets it otherwise keeps their choice.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
