"""Curves: rate and enqueue p99 against one thing that changes while all else stays as it is.

Broker and load have one half of the processors each. The rate is the peak; the p99 is that of a second
run at half of it, because at the peak it tells how long a queue the load fills. Where receivers take
their time the rate is the same for all, that of the pushes that are accepted.
"""
import json
import statistics
import subprocess
import sys

import parts
from counterparts import load_broker, serving
from harness import Broker
from job import Job, on_half

BYTES = 256 << 20  # of payload in a run at most
SLOW_RATE = 100_000  # pushes/s that are offered to receivers that take their time
ACTIVE = 1000  # clients; where there are more, the others are idle

AXES = {  # name: what it is, and its values
    "clients": ("clients, 1,000 at most of them active", (1, 10, 1000, 100_000, 1_000_000)),
    "size": ("bytes of a payload", (64, 1024, 16384, 262144)),
    "batch": ("pushes a frame", (1, 8, 64, 512)),
    "workers": ("sender workers", (1, 2, 4, 8)),
    "endpoints": ("receivers", (1, 10, 1000)),
    "publishers": ("publishers", (1, 4, 64)),
    "shuffle": ("seqs scrambled within", (1, 64, 1024)),
    "delay": ("ms that a receiver takes for a push", (0, 1, 100)),
}


def settings(axis, value):
    """Of the broker, where its defaults do not have room for the value."""
    return {"clients": ("ordering/max_clients=2000000",), "workers": (f"workers/count={value}",),
            "shuffle": ("ordering/window=4096", "delivery/backlog=16384")}.get(axis, ())


def job_at(axis, value, count):
    if axis == "clients":
        return Job(count, clients=min(value, ACTIVE))
    if axis == "size":
        return Job(min(count, BYTES // value), size=value)
    return Job(count) if axis == "workers" else Job(count, **{axis: value})


def point(axis, value, scale):
    """The figures of one place on an axis."""
    if axis == "delay":
        slow = parts.enqueue(Job(shuffle=1), SLOW_RATE, scale.seconds, value)
        return {"rate": SLOW_RATE, "p99": slow["enqueue_p99_us"]}
    job = job_at(axis, value, scale.count)
    idle = value - job.clients if axis == "clients" else 0
    peak = on_new_broker(job, idle, *settings(axis, value))
    half = peak["rate"] / 2
    job = job.but("--rate", max(int(half), 1), count=max(min(job.count, int(half)), job.clients))
    return {"rate": peak["rate"], "p99": on_new_broker(job, idle, *settings(axis, value))["enqueue_p99_us"]}


def on_new_broker(job, idle, *broker_settings):
    """A job beside idle clients, which had a push each before."""
    with on_half(0):
        server = Broker(*broker_settings)
    with serving(server), on_half(1):
        if idle:
            load_broker(server, Job(idle, clients=idle, shuffle=1))
        return load_broker(server, job)


def spread(reports):
    return {key: {"median": statistics.median(values), "min": min(values), "max": max(values)}
            for key in reports[0] for values in [[report[key] for report in reports]]}


def measure_all(scale, rounds, path, plot):
    """Measures all axes, prints them and keeps them in `path`; draws them beside it."""
    found = {axis: {value: [] for value in values} for axis, (_, values) in AXES.items()}
    for i in range(rounds):
        for axis, places in found.items():
            print(f"round {i + 1} of {rounds}: {axis}", file=sys.stderr)
            for value in places:
                if scale.full or value <= 10_000:
                    places[value].append(point(axis, value, scale))
    curves = {axis: {value: spread(reports) for value, reports in places.items() if reports}
              for axis, places in found.items()}
    path.write_text(json.dumps(curves, indent=2) + "\n")
    for axis, places in curves.items():
        print(f"\n{AXES[axis][0]:40}{'1000 pushes/s':>16}{'enqueue p99 us':>18}")
        for value, figures in places.items():
            print(f"  {value:<38,}{figures['rate']['median'] / 1000:>16,.1f}"
                  f"{figures['p99']['median']:>18,.1f}")
        if plot:
            draw(axis, places, path)


# ---- drawing

SCRIPT = """\
set terminal svg size 640,640 background "white"
set output "{svg}"
set multiplot layout 2,1
set xlabel "{label}"
set logscale x
set xtics ({ticks})
unset key
set yrange [0:*]
set ylabel "1000 pushes/s"
plot "{data}" using 1:2:3:4 with yerrorlines linewidth 2
set ylabel "enqueue p99, us"
plot "{data}" using 1:5:6:7 with yerrorlines linewidth 2
"""


def draw(axis, places, path):
    """NAME.dat and NAME.svg; 0 stands at a half, because the axis is logarithmic."""
    data, svg = path.with_name(f"{axis}.dat"), path.with_name(f"{axis}.svg")
    rows = []
    for value, figures in places.items():
        columns = [figures["rate"][key] / 1000 for key in ("median", "min", "max")]
        columns += [figures["p99"][key] for key in ("median", "min", "max")]
        rows.append(" ".join(map(str, [value or 0.5, *columns])))
    data.write_text("\n".join(rows) + "\n")
    ticks = ", ".join(f'"{value:,}" {value or 0.5}' for value in places)
    script = SCRIPT.format(svg=svg, data=data, label=AXES[axis][0], ticks=ticks)
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
    print(f"  {svg}")
