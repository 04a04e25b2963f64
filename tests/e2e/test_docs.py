"""The documents say what is so: quoted programs are the real ones, example bytes can be read."""
import re
import subprocess

import pytest
import wire
from harness import ROOT, SEQPUSHD

README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "proto/PROTOCOL.md").read_text()
EXAMPLES = re.findall(r"```(Request|Reply|Delivery)\n(.*?)```", PROTOCOL, re.DOTALL)
SCREEN = 75  # lines of code, without blank lines and comments
BYTES = re.compile(r"\s*((?:[0-9a-f]{2} +)*[0-9a-f]{2})(?:\s{3,}|$)")


@pytest.mark.parametrize("name", [f"{role}.{language}" for role in ("publisher", "receiver")
                                  for language in ("c", "py", "js")])
def test_the_readme_quotes_the_programs_as_they_are(name):
    assert (ROOT / "tests/interop" / name).read_text() in README


@pytest.mark.parametrize("name", ["publisher.py", "publisher.js", "receiver.py", "receiver.js"])
def test_a_program_that_speaks_the_wire_fits_a_screen(name):
    lines = (ROOT / "tests/interop" / name).read_text().splitlines()
    code = [line for line in lines if line.strip() and not re.match(r"\s*(#|//)", line)]
    assert len(code) <= SCREEN


@pytest.mark.parametrize("kind, text", EXAMPLES)
def test_the_examples_of_the_protocol_are_what_they_say(kind, text):
    encoded = bytes.fromhex("".join(BYTES.match(line)[1] for line in text.splitlines()))
    message = getattr(wire, kind).FromString(encoded)
    assert message.SerializeToString() == encoded and not message.ListFields() == []
    for word in re.findall(r'"(\w+)"|(?:seq|generation|request_id|instance) (\d+)', text):
        assert (word[0] or word[1]) in str(message) or word[1] == "0"


def test_there_are_examples():
    assert {kind for kind, _ in EXAMPLES} == {"Request", "Reply", "Delivery"}


def test_every_outcome_and_every_message_is_described():
    for name in wire.Outcome.keys():
        assert f"| {name} |" in PROTOCOL
    for field in [*wire.Request.DESCRIPTOR.fields, *wire.Reply.DESCRIPTOR.fields]:
        assert field.name in PROTOCOL.lower().replace("pushack", "push_ack"), field.name


def test_relative_links_lead_somewhere():
    for path in (ROOT / "README.md", ROOT / "proto/PROTOCOL.md", ROOT / "config/OPERATING.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def settings():
    """Every key and its default, as `seqpushd --print-config` writes them."""
    section = None
    for line in subprocess.run([SEQPUSHD, "--print-config"], capture_output=True, text=True,
                               check=True).stdout.splitlines():
        if not line.startswith(" "):
            section = line.strip()
        elif " = " in line:
            key, value = line.split(" = ")
            yield f"{section}/{key.strip()}", value.strip().strip('"')


def test_the_readme_lists_every_key_with_its_default():
    for key, default in settings():
        row = next((line for line in README.splitlines()
                    if line.startswith("| `") and f"`{key}`" in line.split("|")[1]), None)
        assert row, f"README.md does not name {key}"
        assert default in row or key == "workers/count", f"{row} has not the default {default}"


def test_the_metrics_that_the_readme_names_are_there(broker):
    exposed = {line.split()[2] for line in broker.get("/metrics").splitlines()
               if line.startswith("# TYPE")}
    named = set(re.findall(r"`(seqpush_\w+)`", README))
    assert named and named <= exposed


def rows_of_the_model():
    table = (ROOT / "tests/model/README.md").read_text().split("| code |")[1].split("\n\n")[0]
    return table.splitlines()[2:]


def code_of_the_model():
    """Each function and its file that the model's table names."""
    for row in rows_of_the_model():
        for names, file in re.findall(r"((?:`\w+`,? ?)+) \((\w+\.[ch])\)", row.split("|")[2]):
            yield from ((name, file) for name in re.findall(r"\w+", names))


def test_the_functions_that_the_model_names_are_there():
    functions = list(code_of_the_model())
    assert len(functions) > 40
    for name, file in functions:
        path = next(path for folder in ("broker", "workers", "client")
                    if (path := ROOT / folder / file).exists())
        assert re.search(rf"^\w.*\b{name}\(", path.read_text(), re.MULTILINE), f"{name}: {file}"


def test_the_transitions_of_the_model_are_there():
    model = "".join(path.read_text() for path in (ROOT / "tests/model").glob("*.pml"))
    for row in rows_of_the_model():
        for transition in re.findall(r"`(\w+)`", row.split("|")[1]):
            assert re.search(rf"^(inline|proctype|#define|active).*\b{transition}\b", model,
                             re.MULTILINE), transition
