"""The messages of the wire: made by protoc from seqpush.proto, in the build folder."""
import subprocess
import sys

from harness import BUILD, ROOT

GENERATED = BUILD / "python"
GENERATED.mkdir(parents=True, exist_ok=True)
subprocess.run(["protoc", f"--python_out={GENERATED}", f"-I{ROOT / 'proto'}",
                ROOT / "proto/seqpush.proto"], check=True)
sys.path.insert(0, str(GENERATED))

from seqpush_pb2 import *  # noqa: E402, F403
