# SPDX-License-Identifier: Apache-2.0
"""What the relay can tell, over an image. Of sizes and counts: exactly nothing about pages and
addresses. Of times: scripts/leak says how much; here only that it would find a leak.
"""

import contextlib
import random
import unittest
import unittest.mock

import classifier
import leak


class Leak(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        cls.relay, cls.address = stack.enter_context(leak.over_image())
        cls.places = leak.Places(cls.address)

    def test_nothing_in_clear_says_what_is_read(self):
        leak.check_in_clear(self, self.address, 20)

    def test_an_artificial_delay_is_found(self):
        """The same page, but half of the answers come 20 ms later: so that what is not found in
        real exchanges says something."""
        classes = {"one": (1, self.places.text), "other": (1, self.places.text)}
        verdict = classifier.judge(*leak.reads(self.relay, self.places, classes, 60, 20_000_000,
                                               "other"))
        self.assertTrue(verdict.finds, vars(verdict))
        self.assertEqual(leak.ROW[verdict.columns[0]], "answer's time")

    def test_counts_of_commands_are_found(self):
        """By frames and bytes alone: that they tell commands apart is said in docs/threat-model.md."""
        rows, labels = leak.commands(self.relay, 6, (("os-version",), ("ps",)))
        verdict = classifier.judge([row[:3] for row in rows], labels)
        self.assertEqual(verdict.right, verdict.count)

    def test_slots_of_a_watch_differ_in_nothing_but_time(self):
        watched = leak.Watched(self.relay, {"none": "none", "ps": "ps", "os-version": "os-version"},
                               2, 20, 10)
        self.assertEqual(len(watched.sizes), 1)
        kinds = {kind for episode, kind, _ in watched.slots if episode >= 0}
        self.assertEqual(kinds, {"a", "h"})


class Judge(unittest.TestCase):
    """The classifier itself, over numbers made up."""

    LABELS = [("a", "b")[(i * 7 // 3) % 2] for i in range(200)]

    def test_finds_what_is_there(self):
        rows = [(1.0, i * 37 % 101, (label == "a") * 50 + i * 61 % 103)
                for i, label in enumerate(self.LABELS)]
        verdict = classifier.judge(rows, self.LABELS)
        self.assertTrue(verdict.finds)
        self.assertIn(2, verdict.columns)

    def test_finds_nothing_in_what_is_alike(self):
        verdict = classifier.judge([(1.0, 2.0)] * 200, self.LABELS)
        self.assertFalse(verdict.finds)

    def test_does_not_learn_groups_by_heart(self):
        """A column that only says which episode it was tells nothing about another one."""
        draw = random.Random(1)
        groups = [i // 10 for i in range(1000)]
        label_of = draw.sample(["a", "b"] * 50, 100)
        row_of = [(draw.random(),) for _ in range(100)]
        labels, rows = [label_of[g] for g in groups], [row_of[g] for g in groups]
        with unittest.mock.patch.object(classifier, "MOST_NEIGHBOURS", 5):
            self.assertGreater(classifier.judge(rows, labels).share, 0.95)
            self.assertLess(classifier.judge(rows, labels, groups).share, 0.65)

    def test_interval(self):
        low, high = classifier.wilson(50, 100)
        self.assertAlmostEqual(low, 0.4038, 3)
        self.assertAlmostEqual(high, 0.5962, 3)
