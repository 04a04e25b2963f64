"""The broker is killed again and again: what it has accepted is delivered all the same."""
import subprocess

from harness import ROOT


def crashes(*options):
    return subprocess.run([ROOT / "tests/soak/run", "crashes", "--seed", "1", *map(str, options)],
                          capture_output=True, text=True, timeout=300)


def test_what_a_broker_without_a_journal_loses_is_found():
    done = crashes("--cycles", 2, "--pause", 0.5, "--engine", "none", "--guests", "--patience", 3)
    assert done.returncode == 1, done.stdout
    assert " lost" in done.stdout and "waited in vain for all to be taken" in done.stdout
