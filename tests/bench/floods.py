# SPDX-License-Identifier: Apache-2.0
"""What a flood of strangers does to a second IDS: how long its requests take with and without one, in
turns, over a memory image. The floods are those of tests/integration/test_flood.py."""

import statistics

import flooding
import images
from watching import Proxy

ROUNDS, REQUESTS = 3, 200


def quantile(values, part):
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def measure(_options):
    """Rows of (kind, times without, times with, unanswered), times in ns."""
    rows = []
    with flooding.folder() as folder:
        agent, first, second = flooding.two_keys(folder)
        proxy = Proxy("bench-flood", images.image(images.VARIANTS[0])).start(key=agent)
        try:
            initiate = flooding.genuine_initiate(proxy.address, first, folder)
            for kind in flooding.KINDS:
                plain, flooded, unanswered = [], [], 0
                for _ in range(ROUNDS):
                    plain += flooding.second_ids(proxy.address, second, REQUESTS)[2]
                    with flooding.Flood(kind, proxy.address, initiate):
                        _, totals, times, _ = flooding.second_ids(proxy.address, second, REQUESTS)
                    flooded += times
                    unanswered += totals["unanswered"]
                rows.append((kind, plain, flooded, unanswered))
        finally:
            proxy.stop()
    return rows


def lines(rows):
    yield (f"{'a second IDS, beside a flood of':34}{'without, ms':>22}{'with, ms':>24}{'ratio':>8}"
           f"{'unanswered':>12}")
    yield f"{'':34}{'median   p90    most':>22}{'median   p90    most':>24}"
    for kind, plain, flooded, unanswered in rows:
        def three(times):
            return (f"{statistics.median(times) / 1e6:8.2f}{quantile(times, 0.9) / 1e6:7.2f}"
                    f"{max(times) / 1e6:8.2f}")
        ratio = statistics.median(flooded) / statistics.median(plain)
        yield (f"  {kind.replace('_', ' '):32}{three(plain):>22}{three(flooded):>24}{ratio:>8.1f}"
               f"{unanswered:>12}")
