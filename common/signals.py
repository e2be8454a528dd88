"""Ctrl-C, SIGTERM and SIGHUP: the first asks a run to end, the second ends it at once, also while a graph runs."""

import contextlib
import os
import signal
import sys
import threading

import gymnasium as gym

from common.program import SIGNALS, leave


class Signals:
    """Used as a context manager, in the main thread; in another thread it receives nothing.

    Python handles a signal between two of its own instructions, so never while the main thread waits for a graph of
    TensorFlow. The system's own handler writes the number of each signal into a pipe, which any thread can read.
    """

    def __init__(self):
        self.received, self.failure, self.stopping, self.handlers, self.pipe = [], None, False, {}, ()

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()  # under nohup
            self.pipe = os.pipe()
            for end in self.pipe:
                os.set_blocking(end, False)
            self.wakeup = signal.set_wakeup_fd(self.pipe[1], warn_on_full_buffer=False)
            self.handlers = {number: signal.signal(number, self._handle) for number in SIGNALS - ignored}
        return self

    def __exit__(self, kind, error, traceback):
        for number, handler in self.handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)
        self.read()
        if self.pipe:
            signal.set_wakeup_fd(self.wakeup)
            for end in self.pipe:
                os.close(end)
            self.pipe = ()
        if isinstance(error, Exception) and self.failure is not None:  # TensorFlow has wrapped it
            if isinstance(self.failure, KeyboardInterrupt):
                self.stop()
            raise self.failure from None

    def _handle(self, number, frame):
        self.read()
        if len(self.received) > 1:
            self.stop()

    def read(self):
        """Take notice of the signals that have come."""
        with contextlib.suppress(BlockingIOError):
            while self.pipe and (numbers := os.read(self.pipe[0], 64)):
                self.received += [number for number in numbers if number in self.handlers]

    @property
    def number(self):
        """The number of the first signal, 0 if there is none."""
        return self.received[0] if self.received else 0

    def stop(self):
        """Ctrl-C is KeyboardInterrupt, as everywhere; of another one the process ends with 128 + its number."""
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.stopping:  # TensorFlow swallowed the SystemExit
            sys.exit(128 + self.number)
        self.stopping = True
        leave(128 + self.number, f"stopped by {signal.Signals(self.number).name}")


class Reachable(gym.vector.VectorWrapper):
    """Environments that are stepped from within a graph: their exceptions and a second signal come out as they are.

    Args:
        env: a vector of environments.
        signals: Signals of the run.
    """

    def __init__(self, env, signals):
        super().__init__(env)
        self.signals = signals

    def step(self, actions):
        try:
            self.signals.read()
            if len(self.signals.received) > 1:
                raise KeyboardInterrupt
            return self.env.step(actions)
        except BaseException as error:
            self.signals.failure = error
            raise
