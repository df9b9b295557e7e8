"""A module of this installation in a process of its own, whatever lies in the working folder."""

from __future__ import annotations

import sys

# `python -m` looks for modules in the working folder first: a numpy.py beside a downloaded bag
# would be run. `-P` forbids that from Python 3.11 on; this does in 3.10, too.
_RUN = (
    'import sys; sys.path[:] = filter(None, sys.path); '
    'import runpy; del sys.argv[0]; '
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


def own_module(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module with this interpreter."""
    return [sys.executable, '-c', _RUN, module, *arguments]
