"""The headline: how long a push takes to be queued where sends are slow, drawn for the README."""
import subprocess

from parts import ORIGIN, SLOW_SEND

QUANTILES = {"p50": "enqueue_p50_us", "p99": "enqueue_p99_us", "p99.9": "enqueue_p999_us"}
LINES = {  # title: workload, counterpart
    "a lock a client, sends of 100 ms (the origin)": (ORIGIN, "origin"),
    "one lock, sends of 0.1 ms": (SLOW_SEND, "onelock"),
    "seqpushd, receivers that take 100 ms": (ORIGIN, "broker"),
    "seqpushd, receivers that take 0.1 ms": (SLOW_SEND, "broker"),
}

SCRIPT = """\
set terminal svg size 720,400 background "white" font "sans,13"
set output "{svg}"
set title "From the receipt of a push until it is queued, 1,000 clients"
set logscale y
set yrange [1:1000000]
set ytics ("1 us" 1, "10 us" 10, "100 us" 100, "1 ms" 1000, "10 ms" 10000, "100 ms" 100000, "1 s" 1000000)
set xrange [-0.3:2.3]
set xtics ({ticks})
set grid ytics
set key outside below left Left reverse
set datafile separator "|"
plot {lines}
"""


def draw(results, path):
    """The medians of the rounds, with the least and the greatest, as an SVG; beside it what was drawn."""
    data = path.with_suffix(".dat")
    blocks, lines = [], []
    for index, (title, (workload, name)) in enumerate(LINES.items()):
        figures = [results["workloads"][workload][name][key] for key in QUANTILES.values()]
        blocks.append("\n".join(f"{x}|{f['median']}|{f['min']}|{f['max']}" for x, f in enumerate(figures)))
        lines.append(f'"{data}" index {index} using 1:2:3:4 with yerrorlines linewidth 2 title "{title}"')
    data.write_text("\n\n\n".join(blocks) + "\n")
    ticks = ", ".join(f'"{name}" {x}' for x, name in enumerate(QUANTILES))
    script = SCRIPT.format(svg=path, ticks=ticks, lines=", \\\n     ".join(lines))
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
    print(f"\n  {path}")
