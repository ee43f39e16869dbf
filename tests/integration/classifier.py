# SPDX-License-Identifier: Apache-2.0
"""Who said what? Nearest neighbours over rows of numbers, judged on rows that they have not seen.

Every fifth part of the rows in turn is held out. Which columns to look at, one of them or all, is
chosen within the other four; so a column that says nothing does not drown the one that does, and
trying many does not flatter the result.
"""

import bisect
import collections
import heapq
import math

MOST_NEIGHBOURS = 51
FOLDS = 5


def wilson(right, count, z=1.96):
    """The 95 % confidence interval of a share."""
    share = right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count
                                               + z * z / (4 * count * count))
    return middle - half, middle + half


def commonest(labels):
    return collections.Counter(labels).most_common(1)[0][0]


class Neighbours:
    """The commonest label among the nearest rows, by these columns: few, if a class has few rows."""

    def __init__(self, rows, labels, columns):
        self.columns = columns
        self.count = max(1, min(MOST_NEIGHBOURS, len(labels) // len(set(labels)) // 4))
        values = list(zip(*rows))
        self.means = [sum(values[c]) / len(rows) for c in columns]
        self.spreads = [math.sqrt(sum((v - mean) ** 2 for v in values[c]) / len(rows)) or 1.0
                        for c, mean in zip(columns, self.means)]
        self.known = [(self.scaled(row), label) for row, label in zip(rows, labels)]
        if len(columns) == 1:
            self.known = sorted((point[0], label) for point, label in self.known)
            self.places = [place for place, _ in self.known]

    def scaled(self, row):
        return [(row[c] - mean) / spread
                for c, mean, spread in zip(self.columns, self.means, self.spreads)]

    def label_of(self, row):
        point = self.scaled(row)
        if len(self.columns) > 1:
            near = heapq.nsmallest(self.count, ((math.dist(place, point), label)
                                                for place, label in self.known))
            return commonest(label for _, label in near)
        end = start = bisect.bisect_left(self.places, point[0])
        while end - start < self.count:
            left = point[0] - self.places[start - 1] if start else math.inf
            right = self.places[end] - point[0] if end < len(self.places) else math.inf
            if left < right:
                start -= 1
            else:
                end += 1
        return commonest(label for _, label in self.known[start:end])

    def right(self, rows, labels):
        return sum(self.label_of(row) == label for row, label in zip(rows, labels))


def split(rows, labels, is_held_out):
    kept = [i for i in range(len(rows)) if not is_held_out(i)]
    held = [i for i in range(len(rows)) if is_held_out(i)]
    return ([rows[i] for i in kept], [labels[i] for i in kept],
            [rows[i] for i in held], [labels[i] for i in held])


def best_columns(rows, labels):
    """One column, or all: which tells most of a quarter of these rows from the rest of them?"""
    columns = [c for c, values in enumerate(zip(*rows)) if len(set(values)) > 1]
    choices = [[c] for c in columns] + ([columns] if len(columns) > 1 else [])
    parts = split(rows, labels, lambda i: i % 4 == 3)
    return max(choices or [[0]], key=lambda choice: Neighbours(*parts[:2], choice).right(*parts[2:]))


class Verdict:
    def __init__(self, right, labels, columns, groups):
        self.right = right
        self.count = len(labels)
        self.groups = groups  # how many
        self.share = right / self.count
        # Rows of one group may all be right or wrong for one reason: they count as one.
        self.low, self.high = wilson(self.share * groups, groups)
        self.chance = max(collections.Counter(labels).values()) / self.count
        self.columns = columns  # that it looked at, in most of the folds

    @property
    def finds(self):
        """More than chance would."""
        return self.low > self.chance


def judge(rows, labels, groups=None):
    """A Verdict. Rows must be in random order of their labels. Those of one group (by default each
    is its own) are held out together: what they share beside the label must not help."""
    groups = groups or range(len(rows))
    number = {group: n for n, group in enumerate(dict.fromkeys(groups))}
    fold_of = [number[group] % FOLDS for group in groups]
    right, chosen = 0, []
    for fold in range(FOLDS):
        kept, known, held, hidden = split(rows, labels, lambda i: fold_of[i] == fold)
        chosen.append(tuple(best_columns(kept, known)))
        right += Neighbours(kept, known, chosen[-1]).right(held, hidden)
    return Verdict(right, labels, commonest(chosen), len(number))


QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def quantile(values, q):
    values = sorted(values)
    return values[min(int(q * len(values)), len(values) - 1)]


def summary(rows):
    """The quantiles of each column, as one row."""
    return [quantile(column, q) for column in zip(*rows) for q in QUANTILES]


def together(rows, labels, size):
    """(rows, labels) of what somebody sees who knows that `size` rows at a time have one label: a summary
    of them."""
    waiting, found, found_labels = collections.defaultdict(list), [], []
    for row, label in zip(rows, labels):
        waiting[label].append(row)
        if len(waiting[label]) == size:
            found.append(summary(waiting.pop(label)))
            found_labels.append(label)
    return found, found_labels
