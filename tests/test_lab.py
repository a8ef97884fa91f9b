"""`make lab`: what it serves, and that a second one installs nothing."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from browser import ROOT, free_port
from patience import patience


@pytest.fixture(scope="module")
def make_lab(tmp_path_factory):
    """`make lab` with no browser: its address, token, and what it printed."""
    under_make = "MAKELEVEL" in os.environ  # then all is installed, and nothing excuses a skip
    env = {k: v for k, v in os.environ.items() if k not in ("MAKELEVEL", "MAKEFLAGS")}
    private = tmp_path_factory.mktemp("jupyter")
    for name in ("CONFIG", "DATA", "RUNTIME"):
        env[f"JUPYTER_{name}_DIR"] = str(private / name)
    if not under_make:
        if not shutil.which("make"):
            pytest.skip("needs make")
        if subprocess.run(["make", "--question", ".venv/data"], cwd=ROOT, env=env).returncode:
            pytest.skip("needs what `make test` installs first")
    process = subprocess.Popen(
        ["make", "lab", f"ARGS=--no-browser --ip=127.0.0.1 --port={free_port()}"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    printed, url = "", None
    try:
        for line in process.stdout:
            printed += line
            if url := re.search(r"(http://127\.0\.0\.1:\d+)(/\S+)\?token=(\w+)", line):
                break
        assert url, f"no address was printed:\n{printed}"
        host, path, token = url.groups()

        def get(path: str) -> str:
            request = urllib.request.Request(
                host + path, headers={"Authorization": f"token {token}"}
            )
            # The address is printed a moment before the server listens.
            until = time.monotonic() + patience(2)
            while time.monotonic() < until:
                try:
                    with urllib.request.urlopen(request, timeout=patience(4)) as answer:
                        return answer.read().decode()
                except urllib.error.URLError as error:
                    if not isinstance(error.reason, ConnectionRefusedError):
                        raise
                    time.sleep(0.1)
            raise TimeoutError(f"{host} does not answer")

        yield {"path": path, "get": get, "printed": printed}
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.communicate(timeout=patience(4))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_it_opens_lecture_01_in_the_repository(make_lab):
    assert make_lab["path"] == "/lab/tree/lectures/01_micrograd.ipynb"
    assert "JupyterLab" in make_lab["get"](make_lab["path"])
    served = json.loads(make_lab["get"]("/api/contents/lectures/01_micrograd.ipynb?hash=0"))
    assert served["content"]["cells"][0]["source"].startswith("# 01 ·")
    there = {entry["name"] for entry in json.loads(make_lab["get"]("/api/contents/"))["content"]}
    assert {"lectures", "exercises", "solutions", "README.md"} <= there


def test_nobody_is_asked_about_news(make_lab):
    answer = make_lab["get"]("/lab/api/settings/@jupyterlab/apputils-extension:notification")
    assert json.loads(answer)["schema"]["properties"]["fetchNews"]["default"] == "false"


def test_a_second_start_installs_nothing(make_lab):
    assert "pip install" not in make_lab["printed"]
    assert "zerotohero data" not in make_lab["printed"]
