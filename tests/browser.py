"""JupyterLab in a headless browser: the server, and what a reader does in it.

`tests/test_browser.py` uses it, and so can you, to look at the course:

    .venv/bin/python tests/browser.py lectures/01_micrograd.ipynb --dark

runs no cell, and writes pictures of the notebook, a screen each, to build/screenshots.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
from playwright.sync_api import Page, expect, sync_playwright

from patience import patience, slowness

ROOT = Path(__file__).parent.parent
SCREENSHOTS = ROOT / "build" / "screenshots"
IDLE = "Python 3 (ipykernel) | Idle"
_NUMBERED = re.compile(r"\[\d+\]:")
SETTLED = slowness()  # seconds without a change after which a picture counts as settled
QUIET = [  # no sandbox, for root in a container has none; and no traffic in the background
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]


def chromium() -> str | None:
    """The path of the system's Chromium or Chrome, if there is one."""
    names = (
        *("chromium", "chromium-browser", "google-chrome", "chrome"),
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    )
    return next((path for name in names if (path := shutil.which(name))), None)


def copy_notebooks(root: Path, folder: Path, keep_outputs: bool = False) -> Path:
    """Copy lectures and exercises to a folder, without their outputs unless told to keep them.

    Without them, a number beside a cell proves that it was run here.
    """
    for path in [*root.glob("lectures/*.ipynb"), *root.glob("exercises/*.ipynb")]:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code" and not keep_outputs:
                cell.outputs, cell.execution_count = [], None
        copy = folder / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, copy)
    return folder


@contextmanager
def jupyterlab(folder: Path, private: Path, dark: bool = False):
    """JupyterLab serving `folder`, with all that it keeps in `private`: a function from a path
    in the folder to the URL that opens it."""
    settings = private / "config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    theme = {"theme": f"JupyterLab {'Dark' if dark else 'Light'}"}
    (settings / "themes.jupyterlab-settings").write_text(json.dumps(theme))
    env = os.environ | {
        "JUPYTER_CONFIG_DIR": str(private / "config"),
        "JUPYTER_DATA_DIR": str(private / "data"),
        "JUPYTER_RUNTIME_DIR": str(private / "runtime"),
        "IPYTHONDIR": str(private / "ipython"),
        "ZEROTOHERO_BUDGET": "quick",
    }
    env.pop("MPLBACKEND", None)  # the kernel's own shows figures in the notebook
    token = "a-token-for-the-test"
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"),
        *(f"--port={free_port()}", f"--IdentityProvider.token={token}"),
        *(f"--ServerApp.root_dir={folder}", "--LabApp.extension_manager=readonly"),
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    with (private / "jupyterlab.log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            base = _wait_for_server(server, private, token)
            # A workspace for each notebook, so that a page shows that notebook and no other.
            yield (
                lambda path: (
                    f"{base}lab/workspaces/{Path(path).parent.name}-{Path(path).stem}"
                    f"/tree/{path}?token={token}"
                )
            )
        finally:
            stop(server)


def _wait_for_server(server: subprocess.Popen, private: Path, token: str) -> str:
    deadline = time.monotonic() + patience(24)
    while time.monotonic() < deadline and server.poll() is None:
        for info in (private / "runtime").glob("jpserver-*.json"):
            try:
                base = json.loads(info.read_text())["url"]
                with urllib.request.urlopen(f"{base}api/status?token={token}", timeout=patience(2)):
                    return base
            except (OSError, ValueError, KeyError):  # not written to the end, or not yet listening
                pass
        time.sleep(0.2)
    log = (private / "jupyterlab.log").read_text()
    raise RuntimeError(f"JupyterLab did not start. Its log ends:\n{log[-3000:]}")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def browser():
    """Chromium without a window; `new_page` opens a page in it."""
    expect.set_options(timeout=patience(1) * 1000)
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        try:
            yield chrome
        finally:
            chrome.close()


class NotebookPage:
    """A notebook, open in JupyterLab in a page of the browser."""

    def __init__(self, page: Page, url: str):
        self.page = page
        page.set_default_timeout(patience(6) * 1000)
        page.goto(url)
        self.panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        expect(self.panel).to_be_visible(timeout=patience(12) * 1000)
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Until the status bar names the kernel and says idle.

        The indicator in the notebook's toolbar also says idle before a kernel is connected.
        """
        status = self.page.locator("#jp-main-statusbar").get_by_text(IDLE, exact=True)
        expect(status).to_be_visible(timeout=patience(24) * 1000)

    def cell(self, text: str):
        """The one code cell whose source holds the text."""
        return self.panel.locator(".jp-CodeCell").filter(
            has=self.page.locator(".jp-InputArea", has_text=text)
        )

    def run_all(self, seconds: float) -> None:
        """Run all cells by the menu; return when each has its number and the kernel is idle.

        `seconds` is what that takes on a quiet machine.
        """
        timeout = patience(seconds)
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        deadline = time.monotonic() + timeout
        while True:
            errors = self.panel.locator('[data-mime-type="application/vnd.jupyter.error"]')
            assert errors.count() == 0, f"a cell failed: {errors.first.text_content()[-1500:]}"
            prompts = self.panel.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()
            waiting = [p for p in prompts if not p.strip("[]: ").isdigit()]
            if prompts and not waiting:
                break
            assert time.monotonic() < deadline, (
                f"{len(waiting)} of {len(prompts)} cells not run after {timeout} s"
            )
            self.page.wait_for_timeout(200)
        self.wait_until_idle()

    def run(self, cell) -> None:
        """Run one cell, as with Shift-Enter in it; return when the kernel is idle."""
        before = cell.locator(".jp-InputPrompt").text_content()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        prompt = cell.locator(".jp-InputPrompt")
        expect(prompt).not_to_have_text(before, timeout=patience(6) * 1000)
        expect(prompt).to_have_text(_NUMBERED, timeout=patience(12) * 1000)
        self.wait_until_idle()

    def write(self, cell, source: str) -> None:
        """Replace what stands in a cell."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)

    def settled(self, area, different_from: str | None = None) -> str:
        """The HTML of an area once it has stopped changing; not before it differs from another.

        A picture may change once for a value in between, so the first change is not the answer.
        """
        timeout = patience(6)
        deadline = time.monotonic() + timeout
        seen, since = None, time.monotonic()
        while time.monotonic() < deadline:
            self.wait_until_idle()
            html = area.inner_html()
            if html != seen:
                seen, since = html, time.monotonic()
            elif html != different_from and time.monotonic() - since > SETTLED:
                return html
            self.page.wait_for_timeout(100)
        state = "the same" if seen == different_from else "changing"
        raise AssertionError(f"the picture is still {state} after {timeout} s")

    def picture(self, name: str, *areas) -> None:
        """Write areas, one below another, to build/screenshots: README's pictures too."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        areas[0].scroll_into_view_if_needed()
        boxes = [area.bounding_box() for area in areas]
        left, top = (min(box[side] for box in boxes) for side in "xy")
        right = min(max(box["x"] + box["width"] for box in boxes), left + 860)
        bottom = max(box["y"] + box["height"] for box in boxes)
        clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", clip=clip)

    @contextmanager
    def screenshot_on_failure(self, name: str):
        try:
            yield
        except BaseException:
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            path = SCREENSHOTS / f"{name}.png"
            self.page.screenshot(path=path)
            print(f"What the browser showed: {path}")
            raise


def screens(page: Page, panel, name: str) -> list[Path]:
    """Pictures of a notebook from top to bottom, a screen each."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    scroller = panel.locator(".jp-WindowedPanel-outer")
    scroller.evaluate("e => e.scrollTo(0, 0)")
    paths = []
    while True:
        page.wait_for_timeout(500)
        paths.append(SCREENSHOTS / f"{name}-{len(paths) + 1:02}.png")
        page.screenshot(path=paths[-1])
        before = scroller.evaluate("e => e.scrollTop")
        if scroller.evaluate("e => (e.scrollBy(0, e.clientHeight - 40), e.scrollTop)") == before:
            return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--run", action="store_true", help="run all cells first")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = copy_notebooks(ROOT, Path(folder, "work"), keep_outputs=not options.run)
        with jupyterlab(work, Path(folder, "private"), options.dark) as url, browser() as chrome:
            page = chrome.new_page(viewport={"width": 1200, "height": 1000})
            notebook = NotebookPage(page, url(options.notebook))
            if options.run:
                notebook.run_all(seconds=60)
            name = f"{Path(options.notebook).stem}-{'dark' if options.dark else 'light'}"
            for path in screens(page, notebook.panel, name):
                print(path)


if __name__ == "__main__":
    main()
