"""What a release build asks of compiler and linker, seen on the binaries themselves."""
import re
import subprocess

import pytest
from harness import BUILD

BINARIES = ("broker/seqpushd", "client/seqpush", "client/libseqpush.so")
RELEASE = "CMAKE_BUILD_TYPE:STRING=Release" in (BUILD / "CMakeCache.txt").read_text()


def readelf(*arguments):
    return subprocess.run(["readelf", *map(str, arguments)], capture_output=True, text=True,
                          check=True).stdout


@pytest.mark.skipif(not RELEASE, reason="only release builds are hardened")
@pytest.mark.parametrize("name", BINARIES)
def test_the_binary_is_hardened(name):
    binary = BUILD / name
    assert re.search(r"Type:\s+DYN", readelf("-h", binary))  # position independent
    segments = readelf("-lW", binary)
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK.* RW ", segments)  # the stack cannot be run
    assert not re.search(r"LOAD.* RWE ", segments)
    assert re.search(r"BIND_NOW|FLAGS_1.*NOW", readelf("-dW", binary))
    symbols = readelf("-sW", binary)
    assert "__stack_chk_fail" in symbols
    assert re.search(r"__\w+_chk", symbols.replace("__stack_chk_fail", ""))  # _FORTIFY_SOURCE
