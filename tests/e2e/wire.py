"""The messages of the wire: made by protoc from seqpush.proto, in the build folder."""
import sys

from made import wire_module

GENERATED = wire_module()
sys.path.insert(0, str(GENERATED))

from seqpush_pb2 import *  # noqa: E402, F403
