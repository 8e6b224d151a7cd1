"""What makes a command of seconds cheap: it imports without collecting garbage, and its memory is not taken apart.

Most of a command's time is imports. The collector's many passes over what they made, and the interpreter's own end,
which takes all of it apart again, cost a quarter more and give nothing: the operating system frees a process at once.
"""

import atexit
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

NEW_OBJECTS_BETWEEN_COLLECTIONS = 100_000
LOWEST_PRIORITY = 19
AUTOGROUP = Path("/proc/self/autogroup")


def run(main: Callable[[], None]) -> NoReturn:
    """Run a layer's `main` and leave with its exit code. An error that it did not expect is shown as ever."""
    gc.set_threshold(NEW_OBJECTS_BETWEEN_COLLECTIONS)
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    if code is not None and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
        code = 1
    atexit._run_exitfuncs()  # what libraries do at their end is quick: Feast removes its temporary folder
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def sentence_of(error: Exception) -> str:
    """What a command says of an error: the system's are its words about a file, without a number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}; repair that, or name another place, then run this again"
    return str(error)


def give_way() -> None:
    """Take only the time that nobody else wants.

    Where Linux shares time between sessions first, a priority counts within its session alone: then the session gives
    way too, if it is this command's own and not a person's terminal.
    """
    os.nice(LOWEST_PRIORITY)
    if AUTOGROUP.exists() and os.getsid(0) == os.getpid():
        AUTOGROUP.write_text(str(LOWEST_PRIORITY))
