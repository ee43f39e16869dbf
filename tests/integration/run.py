#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run integration tests: run.py [--full] [--xen RELEASE] [-k PART_OF_A_NAME] [NAME...]

NAME is a file here without test_ and .py: image, wire, dom0_pv, …; all without one. Each test prints
a line with its time; the end counts them as meson does. Needs what scripts/test builds first.
"""

import argparse
import atexit
import importlib
import pathlib
import signal
import sys
import tempfile
import time
import traceback
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

FULL_ONLY = {"disk", "key_copies", "packages", "systemd"}


class Lines(unittest.TestResult):
    """One line per test, and the traceback of each failure where it happens."""

    def __init__(self):
        super().__init__()
        self.ok = 0
        self.bad = 0
        self.start = time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self.start = time.monotonic()

    def _line(self, verdict, test, why=""):
        took_s = time.monotonic() - self.start
        print(f"{verdict} {str(test):70} {took_s:6.1f} s{why}", flush=True)

    def addSuccess(self, test):
        self.ok += 1
        self._line("PASS", test)

    def addFailure(self, test, err):
        self.bad += 1
        self._line("FAIL", test)
        traceback.print_exception(*err)

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addFailure(subtest, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line("SKIP", test, f": {reason}")


def run(names, part):
    """Run the tests of these modules whose names have `part` in them."""
    result = Lines()
    for name in names:
        suite = unittest.TestSuite()
        for case_suite in unittest.defaultTestLoader.loadTestsFromModule(
                importlib.import_module(f"test_{name}")):
            suite.addTests(t for t in case_suite if part in str(t))
        suite.run(result)
    return result


def main():
    # Ended by timeout(1): guests.py then ends its virtual machines. (unittest catches SystemExit.)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--xen", default="4.17", metavar="RELEASE",
                        help="which Xen to boot: scripts/build-xen --release")
    parser.add_argument("-k", default="", metavar="PART", help="only tests with this in their name")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    there = sorted(path.stem[5:] for path in HERE.glob("test_*.py"))
    names = options.names or [n for n in there if options.full or n not in FULL_ONLY]

    import lab
    lab.FULL = options.full
    lab.XEN_RELEASE = options.xen
    # One place for all that tests put into files, their keys above all. It goes when this process
    # ends, after the machines that still use it: the last registered is the first called.
    made = tempfile.TemporaryDirectory(prefix="sevmon-tests-")
    atexit.register(made.cleanup)
    tempfile.tempdir = made.name
    result = run(names, options.k)
    print(f"\nOk: {result.ok}\nFail: {result.bad}\nSkipped: {len(result.skipped)}")
    return 1 if result.bad or result.ok == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
