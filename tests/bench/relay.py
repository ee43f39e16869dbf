# SPDX-License-Identifier: Apache-2.0
"""Pages through dom0-proxy natively, beside an echo of as many bytes and beside each stage alone:

    bench-relay ──┬── TCP ──► dom0-proxy over a memory image
    (one core)    └── TCP ──► bench-relay echo               (the other core)
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import figures

BENCH = pathlib.Path(__file__).resolve().parent
MIB = 256
# What a connection may have under way: more than the deepest pipeline here.
LIMITS = """[limits]
frames_per_connection = 64
bytes_per_connection = 8388608
"""


def pinned(core, *command):
    """On a core of its own: where two processes land by chance decides more than what they do."""
    return ["taskset", "-c", str(core % os.cpu_count()), *map(str, command)]


@contextlib.contextmanager
def proxy(folder, image, key, config, core=1):
    """(port, process)"""
    sys.path.insert(0, str(BENCH.parent / "integration"))
    import guests
    import lab
    import wire
    (folder / "proxy.toml").write_text(config)
    port = guests.free_port()
    process = subprocess.Popen(
        pinned(core, lab.PROXY, "--config", folder / "proxy.toml", "--backend", "image", "--image",
               image, "--image-format", "raw", "--key", key, "--listen", f"127.0.0.1:{port}"),
        stderr=subprocess.DEVNULL)
    try:
        if not wire.wait_for_agent(("127.0.0.1", port), 30):
            raise SystemExit("bench: dom0-proxy does not answer")
        yield port, process
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def echo(program):
    """(port, process)"""
    process = subprocess.Popen(pinned(1, program, "echo"), stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline()), process
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@contextlib.contextmanager
def image_and_keys(mib, ids=1):
    """(folder, image of random pages, agent's key file, the IDSs' key files)"""
    sys.path.insert(0, str(BENCH.parent / "integration"))
    import lab
    with tempfile.TemporaryDirectory(prefix="sevmon-bench-", dir="/dev/shm") as made:
        folder = pathlib.Path(made)
        with open(folder / "image.raw", "wb") as file:
            for _ in range(mib):
                file.write(os.urandom(1 << 20))
        keys = [folder / f"ids{number}" for number in range(ids)]
        for key in keys:
            subprocess.run([lab.SEVMON, "keygen", key, folder / "agent"], check=True,
                           capture_output=True)
        yield folder, folder / "image.raw", folder / "agent", keys


def pages(quick):
    """What bench-relay printed."""
    sys.path.insert(0, str(BENCH.parent / "integration"))
    import lab
    program = lab.BUILD / "tests" / "bench" / "bench-relay"
    with image_and_keys(8 if quick else MIB) as (folder, image, agent, (key,)), \
            proxy(folder, image, agent, LIMITS) as (port, relay), echo(program) as (other, echoing):
        done = subprocess.run(
            pinned(0, program, "measure", port, relay.pid, other, echoing.pid, image, agent, key,
                   *((1, 50) if quick else (9, 1))), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"bench: {done.stderr.strip()}")
    return json.loads(done.stdout)


CROWDS = (1, 10, 100, 1000)
CROWD_LIMITS = f"""[limits]
connections = {max(CROWDS) + 40}
connections_per_source = {max(CROWDS) + 40}
"""


def cpu_us(process):
    """All that it has used."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


def crowds(quick):
    """What bench-crowd printed for each number of connections, each to a proxy of its own."""
    sys.path.insert(0, str(BENCH.parent / "integration"))
    import lab
    rows = []
    with image_and_keys(8, ids=8) as (folder, image, agent, keys):
        for count in CROWDS[:3] if quick else CROWDS:
            answers = 2 if quick else max(40_000 // count, 20)
            with proxy(folder, image, agent, CROWD_LIMITS) as (port, process):
                before = cpu_us(process)
                done = subprocess.run(
                    pinned(0, lab.BUILD / "tests" / "bench" / "bench-crowd", port, count, answers,
                           *keys), capture_output=True, text=True)
                if done.returncode:
                    raise SystemExit(f"bench: {done.stderr.strip()}")
                row = json.loads(done.stdout)
                row["proxy_cpu_us"] = (cpu_us(process) - before) / row["answers"]
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                row["proxy_most_kib"] = int(status.split("VmHWM:")[1].split()[0])
            rows.append(row)
    return rows


def crowd_lines(rows):
    yield (f"{'connections':>11}{'answers/s':>11}{'fewest, most of one':>21}{'half, us':>10}"
           f"{'99 %, us':>10}{'longest, us':>13}{'proxy CPU, us':>15}{'proxy, MiB':>12}")
    for row in rows:
        span = f"{row['fewest_of_one']:,.0f} .. {row['most_of_one']:,.0f}"
        yield (f"{row['connections']:>11,}{row['answers_per_second']:>11,.0f}{span:>21}"
               f"{figures.number(row['half_within_us']):>10}"
               f"{figures.number(row['99_percent_within_us']):>10}"
               f"{figures.number(row['longest_us']):>13}{figures.number(row['proxy_cpu_us']):>15}"
               f"{row['proxy_most_kib'] / 1024:>12.1f}")


def page_lines(rows):
    """The rows of both, beside each other."""
    by_id = {row["id"]: row for row in rows}
    yield (f"{'pages':>5}{'in flight':>10}{'requests/s':>12}{'echo':>10}  {'ratio (p10 .. p90)':22}"
           f"{'half, us':>9}{'echo':>7}{'99 %, us':>10}{'echo':>7}{'CPU, us: IDS':>14}{'proxy':>7}"
           f"{'echo':>7}{'server':>8}")
    for row in rows:
        if not row["id"].startswith("relay"):
            continue
        beside = by_id[row["id"].replace("relay", "echo")]
        ratio = row["rate_to_echo"]

        def middle(of, what):
            return of[what]["median"]
        yield (f"{row['pages']:>5}{row['in_flight']:>10}{1e6 / middle(row, 'wall_us'):>12,.0f}"
               f"{1e6 / middle(beside, 'wall_us'):>10,.0f}  "
               f"{ratio['median']:4.2f} ({ratio['p10']:.2f} .. {ratio['p90']:.2f})    "
               f"{figures.number(middle(row, 'half_within_us')):>9}"
               f"{figures.number(middle(beside, 'half_within_us')):>7}"
               f"{figures.number(middle(row, '99_percent_within_us')):>10}"
               f"{figures.number(middle(beside, '99_percent_within_us')):>7}"
               f"{figures.number(middle(row, 'client_cpu_us')):>14}"
               f"{figures.number(middle(row, 'server_cpu_us')):>7}"
               f"{figures.number(middle(beside, 'client_cpu_us')):>7}"
               f"{figures.number(middle(beside, 'server_cpu_us')):>8}")
    yield from part_lines(by_id)
    yield ""
    yield from stage_lines(by_id)


def part_lines(by_id):
    """One request at a time: what nothing can be shorter than, and how much longer it is."""
    yield ""
    yield f"{'1 page, 1 in flight, part by part':44}{'us/request':>11}"
    parts = (("echo_1_1", "echo of as many bytes"), ("agent_1", "agent: open, read, seal"),
             ("request_1", "IDS: seal a request"), ("open_1", "IDS: open, lay out"))
    for name, what in parts:
        yield f"  {what:42}{figures.number(by_id[name]['wall_us']['median']):>11}"
    whole = by_id["relay_1_1"]
    ratio = whole["rate_to_all_its_parts"]
    yield (f"  {'the whole':42}{figures.number(whole['wall_us']['median']):>11}"
           f"  {ratio['median']:.2f} ({ratio['p10']:.2f} .. {ratio['p90']:.2f}) of the rate of its parts")


def stage_lines(by_id):
    """Many under way: what each stage would do if it did not have to wait for another."""
    whole = by_id["relay_15_16"]
    yield f"{'15 pages a request, each stage alone':44}{'us/request':>11}{'the whole, of its rate':>40}"
    for name, what in (("agent_15", "agent: open, read, seal"), ("open_15", "IDS: open, lay out"),
                       ("echo_15_16", "echo of as many bytes, 16 in flight"),
                       ("proxy_15", "proxy and agent, for a client that opens none")):
        ratio = whole["rate_to_" + name]
        rate = f"{ratio['median']:.2f} ({ratio['p10']:.2f} .. {ratio['p90']:.2f})"
        yield f"  {what:46}{figures.number(by_id[name]['wall_us']['median']):>7}{rate:>40}"
    yield f"  {'the whole, 16 in flight':42}{figures.number(whole['wall_us']['median']):>11}"


def measure(options):
    return {"pages": pages(options.quick), "crowds": crowds(options.quick)}


def lines(measured):
    return [*page_lines(measured["pages"]), "", *crowd_lines(measured["crowds"])]
