"""What is made in the build folder once, whichever of several test processes asks first."""
import contextlib
import fcntl
import os
import shutil
import subprocess

from harness import BUILD, ROOT


@contextlib.contextmanager
def alone():
    """One process at a time, of all that test this build."""
    with open(BUILD / "made.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def wire_module():
    """The folder with the Python module of the wire, made by protoc from seqpush.proto."""
    folder, fresh = BUILD / "python", BUILD / f"python-{os.getpid()}"
    fresh.mkdir()
    subprocess.run(["protoc", f"--python_out={fresh}", f"-I{ROOT / 'proto'}",
                    ROOT / "proto/seqpush.proto"], check=True)
    folder.mkdir(exist_ok=True)
    (fresh / "seqpush_pb2.py").replace(folder / "seqpush_pb2.py")
    fresh.rmdir()
    return folder


def node_modules(listed):
    """Installs what package-lock.json in a folder of the tree lists. Returns where it is."""
    folder = BUILD / "node" / listed.name
    wanted, there = listed / "package-lock.json", folder / "package-lock.json"
    complete = folder / "complete"
    with alone():
        if not complete.exists() or there.read_bytes() != wanted.read_bytes():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            shutil.copy(listed / "package.json", folder)
            shutil.copy(wanted, there)
            subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund",
                            "--loglevel=error"], cwd=folder, check=True)
            complete.touch()
    return folder / "node_modules"
