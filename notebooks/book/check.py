"""Looks at every page of a built site in Chromium, with the network refused, as a reader would.

A page is in order when nothing was logged as an error, nothing was asked of the network, every
picture is there, every formula is set, nothing is cut off at the right, no markup is left to be
read, and every link to a place in the site finds its page and its heading.
"""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from websocket import WebSocketTimeoutException, create_connection

# Runs in the page. What is folded has no size, and lazy pictures load only in view.
LOOK = r"""
(async () => {
  await document.fonts.ready;
  if (window.MathJax) await MathJax.startup.promise;
  const all = (selector) => [...document.querySelectorAll(selector)];
  for (const fold of all("details")) fold.open = true;
  for (const image of all("img")) {
    image.loading = "eager";
    await image.decode().catch(() => null);
  }
  const problems = [];
  for (const image of all("img"))
    if (!image.naturalWidth) problems.push("no picture: " + image.getAttribute("src"));
  for (const math of all(".math")) {
    const set = math.querySelector("mjx-container svg");
    const wrong = math.querySelector("[data-mjx-error], mjx-merror, g[fill=red]");
    if (!set || wrong || !set.getBoundingClientRect().width)
      problems.push("mathematics: " + (math.dataset.tex || math.textContent).slice(0, 80));
  }
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 1) problems.push("wider than the window by " + wide);
  const prose = document.querySelector("main, article, body").cloneNode(true);
  for (const code of prose.querySelectorAll("pre, code, script, style, mjx-container, .sig"))
    code.remove();
  const markup = /\]\([^)]*\)|\*\*\w[^*\n]*\*\*|\$\$|\\[a-z]+|```/g;
  for (const [raw] of prose.textContent.matchAll(markup))
    problems.push("markup left: " + raw);
  return {
    problems,
    math: all("mjx-container").length,
    pictures: all("img").length,
    links: all("a[href]").map((link) => new URL(link.getAttribute("href"), document.baseURI).href),
    ids: all("[id]").map((element) => element.id),
  };
})()
"""


def check(site: Path) -> int:
    """Prints what is wrong with each page of a site; returns how the command should exit."""
    site = site.resolve()
    pages = sorted(page for page in site.rglob("*.html") if "_static" not in page.parts)
    if not pages:
        raise SystemExit(f"{site} holds no page, expected what `make book` builds.")
    looks, wrong = {}, 0
    with browser() as chromium:
        for page in pages:
            looks[page] = chromium.look(page)
    for page, look in looks.items():
        problems = look["problems"] + dead_links(look["links"], looks, site)
        for problem in dict.fromkeys(problems):
            print(f"{page.relative_to(site)}: {problem}")
        wrong += bool(problems)
    count = {name: sum(look[name] for look in looks.values()) for name in ("pictures", "math")}
    links = sum(len(look["links"]) for look in looks.values())
    print(
        f"{len(pages)} pages, {count['pictures']} pictures, {count['math']} formulas, "
        f"{links} links: {wrong or 'no'} {'page' if wrong == 1 else 'pages'} with problems"
    )
    return min(wrong, 1)


def dead_links(links: list[str], looks: dict[Path, dict], site: Path) -> list[str]:
    """Links to places in the site that are not there. What is outside is not visited."""
    problems = []
    for link in links:
        parts = urlsplit(link)
        path = Path(unquote(parts.path))
        if parts.scheme != "file":
            continue
        if not path.is_file() or not path.is_relative_to(site):
            problems.append(f"dead link: {os.path.relpath(path, site)}")
        elif parts.fragment and path in looks:
            if unquote(parts.fragment) not in looks[path]["ids"]:
                problems.append(f"dead link: {path.relative_to(site)}#{unquote(parts.fragment)}")
    return problems


class Browser:
    """One tab of a running Chromium, spoken to by the DevTools protocol."""

    def __init__(self, address: str) -> None:
        self.socket = create_connection(address, timeout=60, suppress_origin=True)
        self.numbers = itertools.count(1)
        self.events: list[dict] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Network.setCacheDisabled", cacheDisabled=False)

    def send(self, method: str, **params) -> dict:
        """Calls a method; events that come in the meantime are kept."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            self.events.append(message)

    def wait(self, event: str) -> None:
        """Waits until something has happened."""
        while not any(message.get("method") == event for message in self.events):
            self.events.append(json.loads(self.socket.recv()))

    def look(self, page: Path) -> dict:
        """What a page shows, and what went wrong while it loaded."""
        self.events.clear()
        try:
            self.send("Page.navigate", url=page.as_uri())
            self.wait("Page.loadEventFired")
            answer = self.send(
                "Runtime.evaluate", expression=LOOK, awaitPromise=True, returnByValue=True
            )
        except WebSocketTimeoutException:
            empty = {"math": 0, "pictures": 0, "links": [], "ids": []}
            return {**empty, "problems": ["did not load within a minute"]}
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{page.name}: {answer['exceptionDetails']}")
        look = answer["result"]["value"]
        look["problems"] += [problem for event in self.events if (problem := complaint(event))]
        return look


def complaint(event: dict) -> str | None:
    """What an event of the browser says is wrong, if anything."""
    params = event.get("params", {})
    match event.get("method"):
        case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
            return "console: " + " ".join(str(arg.get("value", "")) for arg in params["args"])
        case "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            return "exception: " + details.get("exception", details).get("description", "")
        case "Log.entryAdded" if params["entry"]["level"] == "error":
            return f"console: {params['entry']['text']} {params['entry'].get('url', '')}"
        case "Network.requestWillBeSent":
            url = params["request"]["url"]
            return None if url.startswith(("file:", "data:", "blob:")) else f"network: {url}"
    return None


def program() -> str | None:
    """The browser that is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Starts a Chromium of its own, with no network, and ends it."""
    if (chromium := program()) is None:
        raise SystemExit("No Chromium is installed: `apt-get install chromium`, or Chrome.")
    # Chromium's helpers end a moment after it, and one may still write into the profile.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The sandbox does not start where one is root, as in CI's containers; pages are our own.
        command = [chromium, "--headless", "--disable-gpu", "--no-first-run", "--no-sandbox"]
        command += ["--disable-background-networking", "--disable-component-update"]
        command += ["--disable-sync", "--disable-quic", "--disable-dev-shm-usage"]
        command += ["--window-size=1280,800"]  # of a projector
        command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-port=0"]
        command += [f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield Browser(_address(Path(profile) / "DevToolsActivePort", process))
        finally:
            process.terminate()
            process.wait(20)


def _address(note: Path, process: subprocess.Popen) -> str:
    """The address of the first tab, from the note that Chromium leaves in its profile."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, StopIteration):
            port, path = note.read_text().split()
            socket = create_connection(f"ws://127.0.0.1:{port}{path}", suppress_origin=True)
            socket.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
            targets = json.loads(socket.recv())["result"]["targetInfos"]
            socket.close()
            tab = next(each["targetId"] for each in targets if each["type"] == "page")
            return f"ws://127.0.0.1:{port}/devtools/page/{tab}"
        time.sleep(0.2)
    raise SystemExit("Chromium did not start.")
