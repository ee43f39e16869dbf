# SPDX-License-Identifier: Apache-2.0
"""Compare what sevmon says of a guest with what the guest says of itself."""

TICKS_PER_S = 100  # of /proc, whatever the kernel's HZ


def by_pid(processes):
    return {process["pid"]: process for process in processes}


def stable(before, after):
    """Processes that both lists have: the same pid, started at the same time."""
    later = by_pid(after)
    return [p for p in before
            if p["pid"] in later and later[p["pid"]]["start_ticks"] == p["start_ticks"]]


def comm(name):
    """/proc/PID/stat shows a kernel worker as "kworker/0:1-events", where the part from the dash on
    is its workqueue's, and long names of kernel threads, of which 15 bytes are in task_struct."""
    if name.startswith("kworker/"):
        name = name.split("-")[0].split("+")[0]
    return name[:15]


def check_processes(case, ours, before, after):
    """`ours` was taken between the guest's own lists `before` and `after`."""
    seen = by_pid(ours)
    case.assertEqual(len(seen), len(ours), "a pid appears twice")
    known = stable(before, after)
    case.assertGreater(len(known), 30, "the guest's own list is too short to mean anything")
    later = by_pid(after)
    woken = []
    for truth in known:
        case.assertIn(truth["pid"], seen, f"missing: {truth}")
        process = seen[truth["pid"]]
        # A process can become another program, user's or parent's meanwhile: then it is one of both.
        both = (truth, later[truth["pid"]])
        case.assertIn(comm(process["name"]), [comm(t["name"]) for t in both], both)
        case.assertIn(process["ppid"], [t["ppid"] for t in both], both)
        case.assertIn(process["uid"], [t["uid"] for t in both], both)
        case.assertEqual(process["start_ns"] * TICKS_PER_S // 10**9, truth["start_ticks"], truth)
        # States count when both lists agree.
        if truth["state"] == later[truth["pid"]]["state"]:
            if truth["state"] in "ZT":
                case.assertEqual(process["state"], truth["state"], truth)
            elif truth["state"] in "IS" and process["state"] != truth["state"]:
                woken.append((process["state"], truth))
    # Sleepers can have woken for a moment between the lists, but not many at once.
    case.assertLessEqual({state for state, _ in woken}, {"R", "D"}, woken)
    case.assertLessEqual(len(woken), 8, woken)
    # What only we saw must have come or gone meanwhile: the commands that made the lists, and
    # kernel workers.
    newest = max(p["pid"] for p in before)
    both = set(by_pid(before)) | set(later)
    for process in ours:
        if process["pid"] not in both:
            case.assertTrue(process["pid"] > newest - 40 or process["name"].startswith("kworker"),
                            f"the guest never showed {process}")


STATES = {"Live": "live", "Loading": "loading", "Unloading": "unloading"}


def parse_modules(text):
    """/proc/modules, in its order."""
    found = []
    for line in text.splitlines():
        name, size, refcount, users, state, address = line.split()[:6]
        found.append({"name": name, "size_bytes": int(size), "refcount": int(refcount),
                      "used_by": [user for user in users.strip("-,").split(",")
                                  if user and user != "[permanent]"],
                      "state": STATES[state], "base": int(address, 16)})
    return found


def check_modules(case, ours, text):
    """`ours` was taken while /proc/modules said this: the same modules in the same order, with every
    field that it has."""
    truth = parse_modules(text)
    case.assertGreater(len(truth), 2, "too few to mean anything")
    case.assertEqual([{**{key: module[key] for key in truth[0]}, "base": int(module["base"], 16)}
                      for module in ours], truth)
    for module in ours:
        case.assertTrue(module["in_list"] and module["in_sysfs"] and module["in_tree"], module)
