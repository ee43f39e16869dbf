# SPDX-License-Identifier: Apache-2.0
"""Rows of figures: made from samples, and printed."""

BASELINES = {"memcpy": "memcpy", "openssl": "OpenSSL", "gcm": "AES-GCM alone",
             "x25519": "one X25519", "x25519_pair": "OpenSSL's two", "openssl_open": "OpenSSL",
             "checksum_c_bpf": "C", "sort_c_bpf": "C", "chase_c_bpf": "C",
             "line_checksum_c_bpf": "C", "line_checksum_other_bpf": "DPDK's",
             "line_chase_c_bpf": "C", "line_chase_other_bpf": "DPDK's", "commit_bpf": "all slices",
             "null": "null call", "tcp_echo": "echo", "ps_echo": "echo", "alone": "alone",
             "tcp": "TCP", "tcp_bulk": "TCP"}


def quantile(values, q):
    values = sorted(values)
    at = q * (len(values) - 1)
    below = int(at)
    above = min(below + 1, len(values) - 1)
    return values[below] + (at - below) * (values[above] - values[below])


def summary(values):
    return {"median": quantile(values, 0.5), "p10": quantile(values, 0.1),
            "p90": quantile(values, 0.9)}


def row(name, title, unit, samples_us, **baselines):
    """As tests/bench/rounds.hpp does it: a sample per round, ratios within a round."""
    return {"id": name, "title": title, "unit": unit, "value": summary(samples_us),
            "ratios": {other: summary([a / b for a, b in zip(samples_us, theirs)])
                       for other, theirs in baselines.items()}}


def number(value):
    """Three digits that mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def baseline_name(name):
    return BASELINES.get(name) or BASELINES[name.removesuffix("_15").removesuffix("_1")]


def ratios_text(ratios):
    return "    ".join(f"{number(r['median'])} x {baseline_name(name)} "
                       f"({number(r['p10'])} .. {number(r['p90'])})" for name, r in ratios.items())


def lines(title, rows):
    """One part of the table: a line of figures, and one of ratios to what ran beside."""
    yield f"{title:57}{'median':>9}  {'p10 .. p90':18}{'per second':>11}"
    for figure in rows:
        value = figure["value"]
        scale, unit = (1000, "ms") if figure["unit"] == "us/run" else (1, "us")
        name = f"{figure['title']}, {unit}/{figure['unit'].split('/')[1]}"
        spread = f"{number(value['p10'] / scale)} .. {number(value['p90'] / scale)}"
        yield (f"  {name:55}{number(value['median'] / scale):>9}  {spread:18}"
               f"{number(1e6 / value['median']):>11}")
        if figure["ratios"]:
            yield f"      = {ratios_text(figure['ratios'])}"
        if "stats" in figure:
            stats = figure["stats"]
            yield (f"      {stats['round_trips']} round trips, {stats['requests']} requests, "
                   f"{stats['bytes_sent']:,} bytes out, {stats['bytes_received']:,} in")
