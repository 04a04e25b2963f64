"""One broker under load and all faults for hours: what its memory does, and whether anything goes wrong.

The run is made of legs. Each has publishers, receivers and clients of its own, who go when it ends; what is
left of them in the broker would show in its memory, which is looked at when a leg is over.
"""
import argparse
import itertools
import json
import random
import shutil
import statistics
import subprocess
import time
from collections import Counter
from pathlib import Path

import checker
from cast import HERE, Cast

GROUPS = 10
PART = 0.7  # of the peak rate
PEAK_SECONDS = 10
LEG = 60  # seconds of faults
REST = 3  # seconds without work, in the first of which the broker gives freed memory back
WARM = 600  # seconds in which memory is still taken up that stays
LEAST = 1800  # seconds behind that from which a slope can be told
SLOPE_MAX = 1.0  # MiB an hour
OF_THE_PROXY = ("front_cut", "front_back_cut", "push_cut", "acks_dropped", "acks_doubled", "errors")
SETTINGS = ("delivery/receiver_timeout=5000",  # so that some are taken as gone, and some not
            "ordering/client_idle_timeout=30000")  # those of the legs before


class Verdict:
    """The checker reads the logs of a leg while the next one runs, and does away with them."""

    def __init__(self, cast):
        self.folder = cast.folder
        command = ["nice", HERE / "checker.py", "--pushed", cast.folder / "pushed",
                   "--taken", *(receiver.log for receiver in cast.receivers)]
        self.child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)

    def read(self):
        """Returns what the checker reports, and what is wrong. Logs with faults stay."""
        report, examples = self.child.communicate()
        report = json.loads(report)
        wrong = examples.splitlines() + [f"{report['gaps']} gaps were announced"] * bool(report["gaps"])
        if not wrong:
            shutil.rmtree(self.folder)
        return report, wrong


def find_peak(host, folder):
    """Pushes a second that this cast has taken when as many as it can take are offered, without faults."""
    with Cast(folder, host=host, proxy_seed=0) as cast:
        cast.publish(r=10_000_000)
        time.sleep(PEAK_SECONDS / 2)
        start, taken = time.monotonic(), host.broker.status()["orderer"]["acked"]
        time.sleep(PEAK_SECONDS)
        rate = (host.broker.status()["orderer"]["acked"] - taken) / (time.monotonic() - start)
        _, wrong = cast.end()
    shutil.rmtree(folder)
    return rate, wrong


def leg(host, folder, number, torment, options, rate):
    """Returns the seconds at its end, the memory at rest, what was done, what is wrong and the verdict."""
    dice = random.Random(options.seed + number)
    hurts = argparse.Namespace(cycles=round(min(LEG, 60 * options.minutes) / options.pause), resize=True,
                               pause=options.pause, stop_max=options.stop_max)
    with Cast(folder, host=host, first=number * GROUPS, proxy_seed=options.seed + number,
              resumes=True) as cast:
        cast.publish(r=rate, x=options.seed + number)
        torment(cast, dice, hurts)
        done, wrong = cast.end()
        time.sleep(REST)
        return time.monotonic(), host.broker.memory(), done, wrong, Verdict(cast)


def growth(rests, start):
    """MiB an hour by which memory at rest grew since it was warm, or why that cannot be told."""
    warm = [(at / 3600, memory / (1 << 20)) for at, memory in rests if at - start >= WARM]
    if len(warm) < 2 or warm[-1][0] - warm[0][0] < LEAST / 3600:
        return f"not told: that takes {(WARM + LEAST + LEG) // 60} minutes"
    return round(statistics.linear_regression(*zip(*warm)).slope, 3)


def steady(folder, options, torment):
    folder, report, wrong, rests, verdicts, faults = Path(folder), Counter(), [], [], [], Counter()
    with Cast(folder / "broker", SETTINGS, groups=0) as host:
        peak, first_wrong = find_peak(host, folder / "peak")
        wrong += first_wrong
        rate, start = options.rate or round(PART * peak), time.monotonic()
        for number in itertools.count(1):
            at, memory, done, leg_wrong, verdict = leg(host, folder / f"leg-{number}", number, torment,
                                                       options, rate)
            rests.append((at, memory))
            faults.update({fault: done.pop(fault) for fault in OF_THE_PROXY})
            wrong += leg_wrong
            verdicts.append(verdict)
            over = at - start >= 60 * options.minutes
            while len(verdicts) > (0 if over else 1):
                judged, leg_wrong = verdicts.pop(0).read()
                report.update(judged)
                wrong += leg_wrong
            print(f"leg {number}: {at - start:.0f} s, {memory / (1 << 20):.1f} MiB at rest, "
                  f"{len(wrong)} wrong", flush=True)
            if over:
                break
        faults["resizes"] = sum("workers/count was" in line for line in host.broker.lines)
        host.broker.stop()
    void = [fault for fault in ("push_cut", "acks_dropped", "acks_doubled", "resizes") if not faults[fault]]
    wrong += [f"the run is void: {fault} are 0" for fault in void]
    slope = growth(rests, start)
    if not isinstance(slope, str) and slope >= SLOPE_MAX:
        wrong.append(f"memory grew by {slope} MiB an hour, not less than {SLOPE_MAX}")
    violations = sum(report[kind] for kind in checker.FAULTS)
    return {"peak": round(peak), "offered": rate, "seconds": round(rests[-1][0] - start), "legs": number,
            **report, **done, **faults, "violations": violations,
            "memory_mib_an_hour": slope}, wrong
