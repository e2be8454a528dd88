"""A recipe that runs as a program: the streams it talks through, the signals that end it, and its exit.

Signals and streams are taken over only where a recipe was started as a program. In a notebook or in another program,
importing this changes nothing, except that streams which are closed lead nowhere.
"""

import builtins
import contextlib
import errno
import functools
import io
import os
import signal
import sys
from pathlib import Path

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def is_program():
    """Whether Python was started with a recipe; IPython's `%run` starts one in a process that is not its own."""
    started = getattr(sys.modules["__main__"], "__file__", None)
    return bool(started) and Path(started).resolve().parent == RECIPES and not hasattr(builtins, "__IPYTHON__")


def begin():
    """What comes before any import that takes its time."""
    open_missing()
    if is_program():
        take_over()


def open_missing():
    """Let closed streams lead nowhere: the next file that is opened would be taken for them."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
    sys.stdin = sys.stdin or open(0, closefd=False)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)


def take_over():
    """Speak through streams that do not raise, and end at once at a signal, because there is nothing to save yet."""
    sys.stdout = spoken(sys.stdout, 1, "replace")  # an ASCII terminal shows ? for ±
    sys.stderr = spoken(sys.stderr, 2, "backslashreplace")
    handle(functools.partial(end_at_once, 2))


class _Unheard(io.FileIO):
    """A stream that drops what cannot be written, and keeps the first error: a run is worth more than its words."""

    error = None

    def write(self, data):
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return len(data)


def spoken(stream, descriptor, errors):
    """A text stream like `stream` that never raises; `errors` says what becomes of a letter that it cannot encode."""
    raw = _Unheard(descriptor, "w", closefd=False)
    how = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
    buffer = raw if stream.write_through else io.BufferedWriter(raw)  # as under python -u
    return io.TextIOWrapper(buffer, stream.encoding, errors, **how)


def check_heard():
    """OSError if standard output could not be written, except where nobody reads any more, as under `| head -1`."""
    if not is_program():
        return
    sys.stdout.flush()
    buffer = sys.stdout.buffer
    error = getattr(buffer, "raw", buffer).error
    if error is not None and error.errno not in (errno.EPIPE, errno.EIO):
        raise OSError(error.errno, f"standard output: {error.strerror}")


def leave(code, message):
    """Print one line on stderr and exit with `code`."""
    print(f"{Path(sys.argv[0]).name}: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(code)


def end_at_once(stderr, number, frame):
    """Handle a signal without unwinding; `stderr` is the file descriptor for the line that Ctrl-C gets."""
    if number == signal.SIGINT:
        with contextlib.suppress(OSError):
            os.write(stderr, f"{Path(sys.argv[0]).name}: interrupted\n".encode(errors="replace"))
    os._exit(128 + number)


def unwind(number, frame):
    """Handle a signal by an exception, so that what was begun is put away."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def handle(handler):
    """Let `handler` have the signals that end a program, except for those that are ignored, as SIGHUP under nohup.

    Returns:
        dict signal → the handler before.
    """
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


@contextlib.contextmanager
def handled(handler):
    """Within it `handler` has the signals, if this is a program."""
    before = handle(handler) if is_program() else {}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def running():
    """Within it, or in a function that it decorates, signals unwind."""
    return handled(unwind)


def importing(stderr):
    """Within it signals end the program at once: an import may swallow what is raised in it, and go on.

    Args:
        stderr: file descriptor of standard error, which an import may have silenced.
    """
    return handled(functools.partial(end_at_once, stderr))
