"""The live page in a browser: it shows what the broker says, to everybody, and does nothing else.

The screenshots stay in the build folder, in live_page.
"""
import json
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from browser import Browser
from harness import BUILD, DEADLINE, SANITIZED, SEQPUSH, wait_until
from made import node_modules
from peers import Peer, Receiver, position, push
from selenium.webdriver.common.keys import Keys

SHOTS = BUILD / "live_page"
HOSTILE = "<script>harmed=1</script><img src=x onerror=harmed=1>"
UNITS = {"s": 1, "ms": 1e-3, "µs": 1e-6, "min": 60, "h": 3600, "days": 86400, "/s": 1,
         "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "": 1}
SHOWN = """
    const figures = [...document.querySelectorAll('[data-figure]')];
    const rows = (id) => [...document.querySelectorAll(`#${id} tbody tr`)]
        .map((row) => [...row.cells].map((cell) => cell.textContent));
    return {sample: Number(document.body.dataset.sample),
            figures: figures.map((at) => [at.dataset.figure, at.dataset.form, at.textContent]),
            charts: [...document.querySelectorAll('#charts tbody tr')]
                .map((row) => [...row.cells].map((cell) => cell.textContent)),
            ...Object.fromEntries(['clients', 'receivers', 'workers', 'refused'].map((id) => [id, rows(id)]))};
"""


@pytest.fixture
def browser():
    browser = Browser()
    try:
        yield browser
    finally:
        browser.close()


# The broker does nothing else for these than for the others.
browser_alone = pytest.mark.skipif(SANITIZED, reason="the browser is not sanitized")

pytestmark = pytest.mark.settings("workers/count=2", "delivery/receiver_timeout=600000")


@pytest.fixture
def load(broker):
    """Some hundred pushes a second from four publishers, out of order, to one receiver; another one that
    takes nothing, and some clients that do not move."""
    slow = Receiver(broker, "slow " + "r" * 59)
    slow.attach(position("slow", 0))
    with Peer(broker) as peer:
        peer.push(push(HOSTILE, 7), push("far", 1 << 40), push("unattached", 1), push("unattached", 1),
                  push(b"\xff\xfe", 2), push("w" * 64, 3), *(push("slow", seq) for seq in range(1, 6)))
    receive = subprocess.Popen([SEQPUSH, "receive", "--broker", broker.front, "--prefix", "player-"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    feed = subprocess.Popen([SEQPUSH, "push", "--broker", broker.front, "--client", "player", "--clients",
                             "20", "--publishers", "4", "--shuffle", "8", "--rate", "400"],
                            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    writer = threading.Thread(target=write_lines, args=(feed.stdin,), daemon=True)
    writer.start()
    yield
    for process in (feed, receive):
        process.kill()
        process.wait()
    writer.join(DEADLINE)
    slow.close()


def write_lines(pipe):
    """Until nobody reads them."""
    try:
        while True:
            pipe.write(b"a line\n" * 64)
    except BrokenPipeError:
        pass


def number(text):
    """What a figure as text says: "1,234 /s", "2 min 5 s"."""
    parts = re.findall(r"([\d.,]+) ?([^\d ]*)", text)
    return sum(float(value.replace(",", "")) * UNITS[unit] for value, unit in parts)


def says(text, form, value):
    """True if that is what the text says of the value, as exact as it is shown."""
    if form == "text":
        return text == value
    if form == "count":
        return number(text) == value
    if form == "time":
        return text == "–" if value == 0 else number(text) == pytest.approx(value, rel=0.01)
    if form == "age":
        return number(text) == pytest.approx(value, abs=0.06 if value < 9.9 else 1)
    if form == "rate":
        return number(text) == pytest.approx(value, abs=0.06 if value < 99.9 else 1)
    return form == "bytes" and number(text) == pytest.approx(value, rel=0.01)


def find(status, path):
    for key in path.split("/"):
        status = status[key]
    return status


def shown_and_said(browser):
    """What the page shows now, and the answer of the broker that it is of."""
    shown = browser.run(SHOWN)
    said = [answer for answer in browser.answers("/api/status")
            if answer["uptime_seconds"] == shown["sample"]]
    assert len(said) == 1, f"{len(said)} answers are of {shown['sample']}"
    return shown, said[0]


def is_busy(browser):
    """True once what is shown is of some seconds of load, with clients that stand still."""
    shown = dict((path, text) for path, _, text in browser.run(SHOWN)["figures"])
    return (number(shown["recent/delivered_per_second"]) > 1 and shown["recent/delivery/p99"] != "–" and
            len(browser.texts("#clients tbody tr")) >= 5 and browser.texts("#receivers tbody tr"))


def test_every_figure_is_what_the_status_says(broker, browser, load):
    browser.open(broker)
    wait_until(lambda: is_busy(browser), "a load to be shown", 2 * DEADLINE)
    shown, said = shown_and_said(browser)
    assert len(shown["figures"]) > 15
    for path, form, text in shown["figures"]:
        assert says(text, form, find(said, path)), (path, text, find(said, path))
    charts = {name: now for name, now, _ in shown["charts"] if name in ("accepted", "delivered", "refused")}
    for name, now in charts.items():
        assert says(now, "rate", said["recent"][f"{name}_per_second"])
    assert len(charts) == 3


def test_every_list_is_what_the_status_says(broker, browser, load):
    browser.open(broker)
    wait_until(lambda: is_busy(browser), "a load to be shown", 2 * DEADLINE)
    shown, said = shown_and_said(browser)
    clients = said["stuck_clients"]["clients"]
    assert [row[2] for row in shown["clients"]] == [client["why"] for client in clients]
    assert [row[0] for row in shown["clients"]] == [
        client.get("client", f"base64 {client.get('client_base64')}") for client in clients]
    assert [(row[0], number(row[2]), row[4]) for row in shown["receivers"]] == [
        (receiver["receiver"], receiver["unacknowledged"], receiver["endpoint"])
        for receiver in said["slow_receivers"]["receivers"]]
    for row, worker in zip(shown["workers"], said["workers"], strict=True):
        assert number(row[0]) == worker["worker"]
        assert number(row[1]) == worker["backlog_messages"]
        assert number(row[2]) == worker["inflight_messages"]
        assert number(row[4]) == worker["endpoints"]
    refused = {row[0]: number(row[2]) for row in shown["refused"]}
    assert refused == {"window full": 1} == {"window full": said["orderer"]["outcomes"]["window_full"]}


@browser_alone
def test_an_id_that_is_markup_is_shown_as_text_and_explained(broker, browser, load):
    browser.open(broker)
    browser.wait_for_text("#clients .id", HOSTILE)
    browser.run("[...document.querySelectorAll('#clients .id')]"
                ".find((button) => button.textContent === arguments[0]).click()", HOSTILE)
    browser.wait_for_text("#explained-why", "waits for seq 1 of epoch 0")
    assert browser.texts("#explained-client") == [HOSTILE]
    browser.wait_for_text("#explained-all", json.dumps(HOSTILE))
    assert browser.run("return window.harmed === undefined && document.images.length === 0 && "
                       "document.scripts.length === 1")


@browser_alone
def test_a_client_whose_id_is_a_step_in_a_path_is_explained(broker, browser, load):
    browser.open(broker)
    with Peer(broker) as peer:
        peer.push(push("..", 5))
    browser.run("document.querySelector('#ask-client').value = '..'")
    browser.run("document.querySelector('#ask').requestSubmit()")
    browser.wait_for_text("#explained-all", '"client": ".."')


@browser_alone
def test_a_client_whose_id_is_no_text_is_explained(broker, browser, load):
    browser.open(broker)
    browser.wait_for_text("#clients .id", "base64 //4=")
    browser.run("[...document.querySelectorAll('#clients .id')]"
                ".find((button) => button.textContent === 'base64 //4=').click()")
    browser.wait_for_text("#explained-all", '"client_base64": "//4="')


def test_nothing_is_loaded_from_elsewhere_and_nothing_complained_of(broker, browser, load):
    browser.open(broker)
    wait_until(lambda: len(browser.answers("/api/status")) >= 3, "three answers", 2 * DEADLINE)
    assert {url for url in browser.requested() if not url.startswith(f"http://{broker.http}/")
            and not url.startswith(("data:", "chrome:", "chrome-"))} == set()
    assert browser.complaints == []
    assert browser.run("return fetch('http://127.0.0.2:9/').then(() => 'allowed', () => 'refused')") == "refused"
    browser.collect()
    assert any("Content Security Policy" in line for line in browser.complaints)


def brightness(browser):
    """Of the ground, and of the text on it: 0 to 255."""
    colours = browser.run("const style = getComputedStyle(document.body);"
                          "return [style.backgroundColor, style.color]")
    return [sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in colours]


def has_lines(browser):
    """True if every chart has a line in the colour that its legend says."""
    return browser.run("""
        return [...document.querySelectorAll('figure')].every((figure) => {
            const canvas = figure.querySelector('canvas');
            const bytes = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            const colour = getComputedStyle(figure.querySelector('.stroke')).borderTopColor
                .match(/\\d+/g).map(Number);
            for (let i = 0; i < bytes.length; i += 4)
                if (colour.every((part, k) => bytes[i + k] === part) && bytes[i + 3] === 255) return true;
            return false;
        })""")


@browser_alone
def test_the_page_is_light_or_dark_as_the_reader_wants(broker, browser, load):
    browser.set_size(1200, 900)
    browser.set_scheme("light")
    browser.open(broker)
    wait_until(lambda: is_busy(browser), "a load to be shown", 2 * DEADLINE)
    assert brightness(browser)[0] > 200 > 60 > brightness(browser)[1]
    wait_until(lambda: has_lines(browser), "lines in the charts")
    browser.screenshot(SHOTS / "light.png")
    browser.set_scheme("dark")
    assert brightness(browser)[0] < 60 < 200 < brightness(browser)[1]
    wait_until(lambda: has_lines(browser), "lines in the charts")
    browser.screenshot(SHOTS / "dark.png")


@browser_alone
@pytest.mark.parametrize("width", [320, 768])
def test_a_narrow_window_needs_no_sideways_scrolling(broker, browser, load, width):
    browser.set_size(width, 800)
    browser.open(broker)
    browser.wait_for_text("#clients .id", "w" * 64)
    wait_until(lambda: is_busy(browser), "a load to be shown", 2 * DEADLINE)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.run("return [...document.querySelectorAll('section')]"
                       ".every((section) => section.scrollWidth <= section.clientWidth)")
    browser.screenshot(SHOTS / f"{width}.png")


def test_the_page_says_when_the_broker_does_not_answer_and_goes_on_when_it_does(broker, browser):
    browser.open(broker)
    browser.wait_for_text("#state", "serves")
    broker.signal(signal.SIGSTOP)
    try:
        browser.wait_for_text("#state", "does not answer since ")
    finally:
        broker.signal(signal.SIGCONT)
    browser.wait_for_text("#state", "serves")


@browser_alone
def test_a_page_that_is_paused_stays_as_it_is(broker, browser):
    browser.open(broker)
    browser.wait_for_text("#state", "serves")
    browser.run("document.querySelector('#pause').click()")
    browser.wait_for_text("#state", "paused")
    with Peer(broker) as peer:
        peer.push(push("ann", 1))
    sample = browser.run("return document.body.dataset.sample")
    browser.run("document.querySelector('#pause').click()")
    browser.wait_for(f"return document.body.dataset.sample !== '{sample}'", "it to go on")
    browser.wait_for_text("[data-figure='orderer/clients']", "1")


@browser_alone
def test_all_can_be_done_with_the_keyboard(broker, browser, load):
    browser.open(broker)
    browser.wait_for_text("#clients .id", "unattached")
    reached = []
    for _ in range(20):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(browser.run("return document.activeElement.id || document.activeElement.className ||"
                                   " document.activeElement.textContent"))
    assert {"pause", "id", "ask-client", "Explain", "/metrics"} <= set(reached)
    field = browser.driver.find_element("id", "ask-client")
    field.send_keys("unattached", Keys.ENTER)
    browser.wait_for_text("#explained-why", "no receiver has attached it")
    assert browser.run("return document.activeElement.textContent") == "Close"
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    browser.wait_for("return !document.querySelector('#explained').open", "the dialog to be closed")
    assert browser.run("return document.activeElement.id") == "ask-client"


@pytest.fixture(scope="module")
def axe():
    """The text of axe-core, of the version in axe/package-lock.json."""
    return (node_modules(Path(__file__).parent / "axe") / "axe-core/axe.min.js").read_text()


@browser_alone
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_anybody_out(broker, browser, load, axe, scheme):
    browser.set_scheme(scheme)
    browser.open(broker)
    wait_until(lambda: is_busy(browser), "a load to be shown", 2 * DEADLINE)
    browser.run(axe)
    found = browser.run("return axe.run()")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    assert len(found["passes"]) > 20
