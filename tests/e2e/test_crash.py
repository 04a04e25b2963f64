"""What is accepted outlives the broker: kills, losses of power, disks that fail and are full.

These are the scenarios of the soak, cut short.
"""
import random
import subprocess
import sys
from types import SimpleNamespace

import pytest
from harness import ROOT, SANITIZED

sys.path.insert(0, str(ROOT / "tests/soak"))

import disk  # noqa: E402
import power_loss  # noqa: E402
from disk import Replay  # noqa: E402


def soak(*options):
    return subprocess.run([ROOT / "tests/soak/run", "--seed", "1", *map(str, options)],
                          capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("arguments", [
    f"crashes --cycles {20 if SANITIZED else 50} --pause 0.3 --ready-max 10 --guests python",
    "power-loss --cycles 20 --pause 0.3",
    "storage-faults",
    "disk-full"])
def test_what_is_accepted_is_not_lost_in(arguments):
    done = soak(*arguments.split())
    assert done.returncode == 0, done.stdout + done.stderr
    if "skipped" in done.stdout:
        pytest.skip(done.stdout.splitlines()[-1])
    assert "all holds" in done.stdout


def test_what_a_broker_without_a_journal_loses_is_found():
    done = soak("crashes", "--cycles", 2, "--pause", 0.5, "--engine", "none", "--guests",
                "--patience", 3)
    assert done.returncode == 1, done.stdout
    assert " lost" in done.stdout and "waited in vain for all to be taken" in done.stdout


def test_a_store_that_has_not_all_that_was_accepted_is_found(tmp_path):
    """As a loss of power would leave it if what is said to be synced was not."""
    options = SimpleNamespace(engine="lmdb", rate=1000, pause=10.0)
    moment, = power_loss.run_load(tmp_path, random.Random(1), options, 1)
    trace, replay, place = (tmp_path / "trace").read_bytes(), Replay(), tmp_path / "loss"
    replay.take_all(trace, 0, moment.trace // 2)
    power_loss.copy_of_run(tmp_path / "run", place, moment)
    replay.save(place / "store", disk.every)
    did, wrong = power_loss.judge(place, "lmdb", False)
    assert did == "served" and wrong
