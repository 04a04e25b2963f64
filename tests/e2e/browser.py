"""A headless Chromium for a test: what it shows, loads and complains of."""
import json
import shutil
import tempfile

from harness import DEADLINE, wait_until
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--no-proxy-server")


class Browser:
    """One window, with a profile of its own."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="seqpush-browser-")
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for switch in (*SWITCHES, f"--user-data-dir={self.profile}"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        self.driver.set_page_load_timeout(4 * DEADLINE)
        self.events, self.complaints = [], []

    def close(self):
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def open(self, broker):
        self.driver.get(f"http://{broker.http}/")

    def run(self, script, *arguments):
        """What the body of a function returns."""
        return self.driver.execute_script(script, *arguments)

    def command(self, name, **parameters):
        return self.driver.execute_cdp_cmd(name, parameters)

    def set_scheme(self, scheme):
        self.command("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": scheme}])

    def set_size(self, width, height):
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height,
                     deviceScaleFactor=1, mobile=False)

    def collect(self):
        """Reads what was logged since the last time."""
        self.events += [json.loads(line["message"])["message"]
                        for line in self.driver.get_log("performance")]
        self.complaints += [line["message"] for line in self.driver.get_log("browser")]

    def requested(self):
        """The URLs of all requests so far."""
        self.collect()
        return [event["params"]["request"]["url"] for event in self.events
                if event["method"] == "Network.requestWillBeSent"]

    def answers(self, path):
        """The bodies of all answers so far whose URL ends so."""
        self.collect()
        done = {event["params"]["requestId"] for event in self.events
                if event["method"] == "Network.loadingFinished"}
        asked = [event["params"] for event in self.events
                 if event["method"] == "Network.responseReceived"]
        return [json.loads(self.command("Network.getResponseBody", requestId=one["requestId"])["body"])
                for one in asked if one["response"]["url"].endswith(path) and one["requestId"] in done]

    def wait_for(self, script, what):
        return wait_until(lambda: self.run(script), what, 2 * DEADLINE)

    def wait_for_text(self, selector, text):
        """Waits until one of the elements has the text."""
        wait_until(lambda: any(text in shown for shown in self.texts(selector)),
                   f"{text!r} at {selector}", 2 * DEADLINE)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])]"
                        ".map(element => element.textContent)", selector)

    def screenshot(self, path):
        """The whole page, not just the window."""
        path.parent.mkdir(parents=True, exist_ok=True)
        height = self.run("return document.documentElement.scrollHeight")
        self.set_size(self.run("return innerWidth"), height)
        assert self.driver.save_screenshot(str(path))
