"""Throughput against what others would run: ``ablate bench``, or ``python -m ablations.bench``.

    ablate bench                              # some five minutes; needs nothing but torch, torchvision and numpy
    ablate bench --quick                      # does it run, is it roughly right
    ablate bench --device cuda
    ablate bench --study                      # a whole study against plain loops; needs the whole suite

Every program runs in a process of its own, and programs of others know nothing of this suite. What was measured, and
what was tried to get there, stands in ``bench.md``.
"""

from ablations.bench.command import main

__all__ = ["main"]
