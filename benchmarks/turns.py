"""Programs that take turns on one machine.

Who has no turn is stopped: threads that wait for work spin for a while, and would take a core from whose turn it is.
"""

import atexit
import json
import os
import signal
import subprocess
import sys


class Stopped:
    """A process that runs only while turn() lasts. It does not outlive this program."""

    def __init__(self, process):
        self.process = process
        atexit.register(process.kill)

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def go(self):
        self.process.send_signal(signal.SIGCONT)

    def turn(self, work):
        self.go()
        result = work()
        self.stop()
        return result


class Program(Stopped):
    """A program that does one thing for each line it is sent, and answers with a line of JSON."""

    def __init__(self, command, environment=None):
        super().__init__(subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          text=True, env={**os.environ, **(environment or {})}))
        self.stop()

    def ask(self, line=""):
        return self.turn(lambda: self.exchange(line))

    def exchange(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.process.args[0]} ended early")
        return json.loads(answer)

    def end(self):
        """Ends the program; the line of JSON that it closes with, or None."""
        self.go()
        self.process.stdin.close()
        last = self.process.stdout.read().strip().splitlines()
        if self.process.wait():
            sys.exit(f"{self.process.args[0]} ended with {self.process.returncode}")
        return json.loads(last[-1]) if last else None
