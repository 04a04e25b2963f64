"""A broker with CURVE: its keys, its configuration, and the keys that may connect."""
from harness import tool
from peers import Curve

ENDPOINTS = "tcp://127.0.0.1:*"


class Realm:
    """A broker's keys and configuration, and the keys that may connect."""

    def __init__(self, folder):
        self.folder = folder
        self.server_key = self.keygen("broker")
        self.sections = {}

    def keygen(self, name):
        return tool("keygen", self.folder / name).stdout.decode().strip()

    def key(self, name, role, curve=None, **globs):
        """Adds a key, with what it may have, and returns it."""
        curve = curve or Curve(self.server_key)
        self.sections[name] = section(name, curve.public.decode(), role, **globs)
        return curve

    def write(self, more=""):
        path = self.folder / "seqpushd.conf"
        path.write_text(f"security\n    secret_file = {self.folder}/broker.key\n"
                        + "".join(self.sections.values()) + more)
        return path


def section(name, public, role, **globs):
    roles = [role] if isinstance(role, str) else role
    lines = ["    key", f"        name = {name}", f'        public = "{public}"',
             *(f"        role = {role}" for role in roles)]
    for key, values in globs.items():
        lines += [f'        {key} = "{value}"'
                  for value in ([values] if isinstance(values, str) else values)]
    return "\n".join(lines) + "\n"
