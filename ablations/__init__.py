"""The grid driver: studies, cells, stacks, evaluation, the command line."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablations.trained import load_arm as load_arm

# Threads that wait should sleep, not spin: with one other busy process on two cores, spinning made training a single
# model 6 to 15 times slower (79 s and 16 s against 5 s and 2.6 s per model-epoch). Read when torch is first imported,
# hence here; whoever sets it otherwise keeps their choice.
SETTINGS = {"OMP_WAIT_POLICY": "PASSIVE"}
# What was set here and not by the user: the bench starts other people's programs without it.
SET_HERE = SETTINGS.keys() - os.environ.keys()
os.environ.update({name: SETTINGS[name] for name in SET_HERE})


def __getattr__(name: str) -> Any:
    """`ablations.load_arm` is imported when it is first used: with torch, pandas and MLflow."""
    if name != "load_arm":
        raise AttributeError(f"module 'ablations' has no attribute {name!r}")
    from ablations.trained import load_arm

    return load_arm
