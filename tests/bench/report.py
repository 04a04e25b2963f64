"""What the rounds come to: medians with the least and the greatest, as tables and as JSON."""
import statistics

from aims import AIMS

COLUMNS = {  # heading: figure, unit, decimals
    "1000 pushes/s": ("rate", 1000, 1), "server CPU": ("broker_cpu_us", 1, 2),
    "publisher CPU": ("publisher_cpu_us", 1, 2), "receiver CPU": ("receiver_cpu_us", 1, 2),
    "enqueue p50 us": ("enqueue_p50_us", 1, 1), "p99 us": ("enqueue_p99_us", 1, 1),
    "p99.9 us": ("enqueue_p999_us", 1, 1), "latency p50 us": ("latency_p50_us", 1, 1),
    "lat. p99 us": ("latency_p99_us", 1, 1), "lat. p99.9 us": ("latency_p999_us", 1, 1),
    "healthy 1000/s": ("healthy_rate", 1000, 1), "idle client bytes": ("idle_client_bytes", 1, 0),
    "scrape p50 ms": ("scrape_p50_ms", 1, 2), "scrape p99 ms": ("scrape_p99_ms", 1, 2),
    "ready after s": ("ready_s", 1, 2),
    "few p99 ns": ("few_p99_ns", 1, 0), "many p99 ns": ("many_p99_ns", 1, 0),
    "random ns": ("random_ns", 1, 0), "colliding ns": ("colliding_ns", 1, 0),
    "earliest": ("earliest", 1, 3), "latest ms": ("latest_ms", 1, 1),
}


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summarise(rounds):
    """{workload: {counterpart: {figure: spread}}} of all rounds that have it."""
    summary = {}
    for figures in rounds:
        for workload, reports in figures.items():
            for name, report in reports.items():
                place = summary.setdefault(workload, {}).setdefault(name, {})
                for key, value in report.items():
                    if value is not None:
                        place.setdefault(key, []).append(value)
    return {workload: {name: {key: spread(values) for key, values in figures.items()}
                       for name, figures in reports.items()}
            for workload, reports in summary.items()}


def judge(rounds):
    """Every aim of which there are figures: its values, whether it holds, whether it is reached."""
    verdicts = []
    for aim in AIMS:
        values = aim.values(rounds)
        if values:
            verdicts.append({"name": aim.name, **spread(values), "must": aim.bound(),
                             "goal": aim.goal, "holds": aim.holds(values),
                             "reached": aim.reached(values)})
    return verdicts


def cell(value, unit, places):
    """median (least-greatest)"""
    low, middle, high = (f"{value[key] / unit:,.{places}f}" for key in ("min", "median", "max"))
    return middle if low == high else f"{middle} ({low}-{high})"


def print_workload(workload, reports):
    print(f"\n{workload}")
    columns = {heading: column for heading, column in COLUMNS.items()
               if any(column[0] in figures for figures in reports.values())}
    rows = [["", *columns]]
    for name, figures in reports.items():
        rows.append([name, *(cell(figures[key], unit, places) if key in figures else "-"
                             for key, unit, places in columns.values())])
    widths = [max(map(len, column)) for column in zip(*rows)]
    for name, *cells in rows:
        print(f"  {name:{widths[0]}}" +
              "".join(f"  {text:>{width}}" for text, width in zip(cells, widths[1:])))


def print_verdicts(verdicts):
    rows = [("", "median (least-greatest)", "must hold", "", "aim", "")]
    for v in verdicts:
        rows.append((v["name"], cell(v, 1, 2), v["must"],
                     ("yes" if v["holds"] else "NO") if v["must"] else "",
                     "" if v["goal"] is None else f"{v['goal']:g}",
                     "" if v["reached"] is None else "yes" if v["reached"] else "no"))
    print("\nAims; ratios are taken within a round")
    for name, value, must, holds, goal, reached in rows:
        print(f"  {name:42}{value:>32}{must:>12} {holds:4}{goal:>6} {reached}")


def print_all(results):
    print(f"{results['rounds']} rounds on {results['processors']} processors; "
          "CPU in microseconds of the process a push")
    for workload, reports in results["workloads"].items():
        print_workload(workload, reports)
    print_verdicts(results["aims"])
