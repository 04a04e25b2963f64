"""What is shipped beside the programs fits them: install, unit, completions, alerts, man pages."""
import json
import os
import re
import shutil
import subprocess

import pytest
from harness import BUILD, ROOT, SANITIZED, SEQPUSH, SEQPUSHD
from made import node_modules

pytestmark = pytest.mark.xdist_group("installed")  # CMake keeps one list of what it installed

CONFIG = ROOT / "config"
EXPOSURE = 15  # of 100, as systemd-analyze rates it; a service that is not hardened has 96


def run(*command, **more):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


#  ---- install and uninstall ---------------------------------------------------------------------

@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """Where everything is installed; removed again, which must leave nothing."""
    prefix = tmp_path_factory.mktemp("installed") / "prefix"
    run("cmake", "--install", BUILD, "--prefix", prefix)
    manifest = (BUILD / "install_manifest.txt").read_text()
    yield prefix
    (BUILD / "install_manifest.txt").write_text(manifest)  # another test may have installed, too
    run("cmake", "--build", BUILD, "--target", "uninstall")
    assert not [p for p in prefix.rglob("*") if not p.is_dir()]
    assert not [p for p in prefix.rglob("*seqpush*")]


def test_what_is_installed_serves(prefix):
    conf = prefix / "etc/seqpush/seqpushd.conf"
    run(prefix / "sbin/seqpushd", "--config", conf, "--check-config")
    assert "Commands:" in run(prefix / "bin/seqpush", "--help")


@pytest.mark.skipif(SANITIZED, reason="links without the sanitizers")
def test_a_program_is_built_with_pkg_config(prefix, tmp_path):
    path = next(prefix.rglob("seqpush.pc")).parent
    environment = {**os.environ, "PKG_CONFIG_PATH": str(path)}
    flags = run("pkg-config", "--cflags", "--libs", "seqpush", env=environment).split()
    run("cc", ROOT / "tests/interop/publisher.c", *flags, "-o", tmp_path / "publisher")
    done = subprocess.run([tmp_path / "publisher"], capture_output=True, text=True, check=False,
                          env={**os.environ, "LD_LIBRARY_PATH": str(path.parent)})
    assert "Usage: publisher" in done.stderr


@pytest.mark.skipif(SANITIZED, reason="links without the sanitizers")
@pytest.mark.parametrize("target", ["seqpush", "seqpush_static"])
def test_a_program_is_built_with_cmake(prefix, tmp_path, target):
    (tmp_path / "CMakeLists.txt").write_text(f"""\
cmake_minimum_required(VERSION 3.25)
project(publisher LANGUAGES C)
find_package(seqpush REQUIRED)
add_executable(publisher {ROOT}/tests/interop/publisher.c)
target_link_libraries(publisher PRIVATE seqpush::{target})
""")
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path / "build")


def test_a_configuration_that_was_changed_is_not_uninstalled(tmp_path):
    (tmp_path / "etc").mkdir()
    changed, ours = tmp_path / "etc/seqpushd.conf", tmp_path / "seqpush/page"
    changed.write_text("workers\n    count = 2\n")
    ours.parent.mkdir()
    ours.touch()
    (tmp_path / "install_manifest.txt").write_text(f"{changed}\n{ours}")
    assert f"Kept, because it was changed: {changed}" in run(
        "cmake", "-P", CONFIG / "uninstall.cmake", cwd=tmp_path)
    assert changed.exists() and not ours.parent.exists()


#  ---- the unit ----------------------------------------------------------------------------------

@pytest.fixture
def unit(tmp_path, prefix):
    """The unit, with the broker where it was installed for the tests."""
    text = next(prefix.rglob("seqpushd.service")).read_text()
    path = tmp_path / "seqpushd.service"
    path.write_text(re.sub(r"(?<==)\S*/seqpushd ", f"{prefix}/sbin/seqpushd ", text))
    return path


@needs("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(unit):
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True,
                          check=False)
    wrong = [line for line in done.stderr.splitlines()
             if "seqpushd.service" in line and "Command 'man" not in line]
    assert not wrong, done.stderr


@needs("systemd-analyze")
def test_the_unit_is_hardened(unit):
    run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", unit)


def test_the_unit_waits_longer_than_a_stop_takes(unit):
    text = unit.read_text()
    drain = int(re.search(r"drain_timeout = (\d+)", run(SEQPUSHD, "--print-config"))[1])
    assert int(re.search(r"TimeoutStopSec=(\d+)", text)[1]) > drain / 1000
    assert "Type=notify" in text and "WatchdogSec=" in text


def test_the_unit_bounds_memory_above_what_the_defaults_may_take(unit):
    kept = int(re.search(r"memory_max = (\d+)", run(SEQPUSHD, "--print-config"))[1])
    assert int(re.search(r"MemoryMax=(\d+)G", unit.read_text())[1]) << 30 > 4 * kept


#  ---- completions -------------------------------------------------------------------------------

def options(program, *command):
    helps = run(program, *command, "--help")
    return set(re.findall(r"^ *(?:-\w, )?(--[a-z0-9-]+)", helps, re.MULTILINE))


def commands():
    return re.findall(r"^  ([a-z]+) ", run(SEQPUSH, "--help").split("Commands:")[1].split("\n\n")[0],
                      re.MULTILINE)


def keys():
    section = None
    for line in run(SEQPUSHD, "--print-config").splitlines():
        if not line.startswith(" "):
            section = line.strip()
        elif " = " in line and not line.startswith("     "):
            yield f"{section}/{line.split()[0]}"


def bash(*words):
    """What bash offers for the last word."""
    program = words[0]
    script = f"""source {CONFIG}/completions/{program}.bash
compopt() {{ :; }} # works in a completion alone
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_{program}
printf '%s\\n' "${{COMPREPLY[@]}}" """
    return complete("bash", "-c", script, "bash", *words)


def fish(*words):
    program = words[0]
    line = " ".join(words)
    return complete("fish", "--no-config", "-c",
                    f"source {CONFIG}/completions/{program}.fish; complete -C '{line}'")


def zsh(*words):
    """What zsh is asked to offer: its own functions for that are taken over."""
    script = f"""words=("$@") CURRENT=$#words
_describe() {{ print -rl -- ${{(P)2}} }}
compadd() {{ if [[ $3 == -a ]] {{ print -rl -- ${{(P)4}} }} else {{ print -rl -- $@ }} }}
_files() {{ }}
complete_it() {{ source {CONFIG}/completions/{words[0]}.zsh }}
complete_it """
    offers = {offer.split(":")[0] for offer in complete("zsh", "-fc", script, "zsh", *words)}
    return {offer for offer in offers if offer.startswith(words[-1])}


def complete(*command):
    path = f"{SEQPUSHD.parent}:{SEQPUSH.parent}:{os.environ['PATH']}"
    lines = run(*command, env={**os.environ, "PATH": path}).splitlines()
    return {line.split("\t")[0].rstrip("=") for line in lines if line}


@pytest.mark.parametrize("shell", [bash, pytest.param(fish, marks=needs("fish")),
                                   pytest.param(zsh, marks=needs("zsh"))])
def test_completions_offer_what_there_is(shell):
    assert shell("seqpush", "") >= set(commands())
    assert set(commands()) >= {"push", "receive", "status"}
    for command in commands():
        assert shell("seqpush", command, "--") == options(SEQPUSH, command)
    assert shell("seqpush", "journal", "") >= {"info", "verify", "dump"}
    assert shell("seqpush", "bench", "--only", "") >= {"publish", "receive"}
    assert shell("seqpushd", "--") == options(SEQPUSHD)
    assert shell("seqpushd", "--set", "log/") == {key for key in keys() if key.startswith("log/")}


@needs("zsh")
@pytest.mark.parametrize("program", ["seqpush", "seqpushd"])
def test_completions_for_zsh_can_be_read(program):
    run("zsh", "-n", CONFIG / f"completions/{program}.zsh")


#  ---- alerts and the dashboard ------------------------------------------------------------------

ALERTS = (CONFIG / "alerts.yml").read_text()
OPERATING = (CONFIG / "OPERATING.md").read_text()


@needs("promtool")
def test_prometheus_takes_the_alert_rules():
    run("promtool", "check", "rules", CONFIG / "alerts.yml")
    run("promtool", "test", "rules", ROOT / "tests/alerts.yml")


def test_every_alert_is_explained_and_tested():
    alerts = set(re.findall(r"- alert: (\w+)", ALERTS))
    assert len(alerts) > 5
    assert alerts == set(re.findall(r"^### (\w+)", OPERATING, re.MULTILINE))
    assert alerts == set(re.findall(r'alertname="(\w+)"', (ROOT / "tests/alerts.yml").read_text()))


def expressions():
    """Every query of the dashboard and of the alert rules."""
    dashboard = json.loads((CONFIG / "grafana.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]
    yield from re.findall(r"expr:((?:.*\n)+?) +(?:for|labels):", ALERTS)


def test_the_dashboard_and_the_alerts_use_metrics_that_there_are(broker):
    exposed, labels = set(), {}
    for name, pairs, _ in broker.metrics():
        exposed.add("seqpush_" + name)
        for label in pairs:
            labels.setdefault(label, set()).add(pairs[label])
    exposed |= set(re.findall(r"^(process_\w+)", broker.get("/metrics"), re.MULTILINE))
    count = 0
    for expression in expressions():
        names = set(re.findall(r"\b(?:seqpush|process)_\w+", expression))
        assert names <= exposed, expression
        count += len(names)
        for label, values in re.findall(r'(outcome|result|stage|code)=~?"([^"]+)"', expression):
            assert set(values.split("|")) <= labels[label], expression
    assert count > 30


def test_the_dashboard_has_every_metric(broker):
    dashboard = (CONFIG / "grafana.json").read_text()
    shown = set(re.findall(r"\b((?:seqpush|process)_\w+?)(?:_bucket)?\b", dashboard))
    assert set(re.findall(r"^# TYPE (\S+)", broker.get("/metrics"), re.MULTILINE)) <= shown


@needs("promtool")
def test_prometheus_takes_the_queries_of_the_dashboard(tmp_path):
    """As rules, with a value for what Grafana fills in."""
    panels = json.loads((CONFIG / "grafana.json").read_text())["panels"]
    queries = [target["expr"].replace("$__rate_interval", "1m")
               for panel in panels for target in panel.get("targets", [])]
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in run("promtool", "check", "rules", path)


def test_the_dashboard_is_one_by_the_types_that_grafana_publishes(tmp_path):
    """What Grafana itself makes of it when it loads, this cannot tell."""
    modules = node_modules(ROOT / "tests/e2e/grafana")
    dashboard = (CONFIG / "grafana.json").read_text().replace('"absolute"', "ThresholdsMode.Absolute")
    check = """import { Dashboard, ThresholdsMode } from "@grafana/schema";
export const dashboard: Dashboard = %s;
"""
    (tmp_path / "node_modules").symlink_to(modules)
    compiler = ["node", modules / "typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck",
                "--module", "esnext", "--moduleResolution", "bundler", tmp_path / "check.ts"]
    (tmp_path / "check.ts").write_text(check % dashboard)
    run(*compiler, cwd=tmp_path)
    (tmp_path / "check.ts").write_text(check % dashboard.replace('"gridPos"', '"place"'))
    assert subprocess.run(compiler, cwd=tmp_path, capture_output=True, check=False).returncode


def test_the_panels_of_the_dashboard_do_not_overlap():
    taken, ids = set(), set()
    for panel in json.loads((CONFIG / "grafana.json").read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24
        assert panel["id"] not in ids
        taken |= cells
        ids.add(panel["id"])


def test_the_metrics_and_keys_that_the_operators_page_names_are_there(broker):
    exposed = broker.get("/metrics")
    for name in re.findall(r"`(seqpush_\w+)`", OPERATING):
        assert f"# TYPE {name} " in exposed, name
    known = {key for key, _ in schema()}
    named = re.findall(r"`((?:broker|front|ordering|workers|delivery|http|log|security|journal)/\w+)",
                       OPERATING)
    assert len(named) > 10 and set(named) <= known, set(named) - known


#  ---- man pages ---------------------------------------------------------------------------------

def page(name):
    return (CONFIG / f"{name}.scd").read_text()


def schema():
    """Every key of the schema, and whether a reload takes it."""
    source = (ROOT / "broker/config_key.c").read_text()
    rows = source.split("const config_key_t config_keys[] = {")[1].split("\n    {0},")[0]
    for row in re.split(r"\n    \{(?=KEY|\.path)", rows):
        name = re.match(r'KEY\((\w+), (\w+)\)|\.path = "([\w/]+)"', row)
        if name:
            yield name[3] or f"{name[1]}/{name[2]}", ".live = true" in row


def test_the_man_page_has_every_key_and_says_which_are_live():
    entries = re.split(r"\n(?=\*[a-z]+/)", page("seqpushd.conf.5").split("# SEE ALSO")[0])[1:]
    described = {}
    for entry in entries:
        for key in re.findall(r"\*([a-z]+/\w+)\*", entry.split("\n")[0]):
            described[key] = "_Live._" in entry
    assert described == dict(schema())
    assert set(keys()) <= set(described)


@pytest.mark.parametrize("program, name", [(SEQPUSH, "seqpush.1"), (SEQPUSHD, "seqpushd.8")])
def test_the_man_pages_have_every_option_and_command(program, name):
    known = options(program)
    if program == SEQPUSH:
        for command in commands():
            assert re.search(rf"^\*{command}[* ]", page(name), re.MULTILINE), command
            known |= options(program, command) if command != "bench" else set()
    for option in known:
        assert f"*{option}" in page(name), option


def test_the_man_pages_have_every_exit_status():
    statuses = page("seqpush.1").split("# EXIT STATUS")[1].split("\n# ")[0]
    entries = [entry.split(": 0 ")[0] for entry in statuses.split("\n\n") if ": 0 " in entry]
    assert sorted(re.findall(r"\*(\w+)\*", " ".join(entries))) == sorted(commands())
    broker = page("seqpushd.8").split("# EXIT STATUS")[1].split("\n# ")[0]
    assert re.findall(r"^\*(\d)\*$", broker, re.MULTILINE) == ["0", "1", "2"]


def test_the_documents_name_every_key_that_a_reload_takes():
    signals = page("seqpushd.8").split("*SIGHUP*")[1].split("# HTTP")[0]
    readme = (ROOT / "README.md").read_text().split("These keys take effect:")[1].split("\n\n")[0]
    for key, live in schema():
        name = key if key.startswith("delivery/") or not live else key.split("/")[1]
        for text in signals, readme:
            assert bool(re.search(rf"\b{name}\b", text)) == live, key
