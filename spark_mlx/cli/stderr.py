"""stderr without the messages of sound libraries.

PortAudio writes to file descriptor 2 when a device goes away, and has no way to be told not to.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def own_stderr() -> Iterator[None]:
    """Keep stderr for Python: everything else that writes there is dropped."""
    if sys.stderr is not sys.__stderr__ or sys.stderr is None:  # it is somewhere else already
        yield
        return
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    encoding = sys.stderr.encoding
    with os.fdopen(kept, "w", 1, encoding, "backslashreplace") as errors:
        try:
            with contextlib.redirect_stderr(errors):
                yield
        finally:
            os.dup2(kept, 2)
