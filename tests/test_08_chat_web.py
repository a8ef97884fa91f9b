"""`zerotohero chat --web`: who gets in, and the page as a reader has it, in the browser."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from browser import browser, chromium
from chatting import command, partner
from commands import call
from patience import patience
from small import environment
from zerotohero.course.chat import web

ABC = "abcdefghijklmnopqrstuvwxyz"
ASKED = {
    "tab": "mine",
    "turns": [{"role": "user", "content": "hello"}],
    "system": None,
    "temperature": 0,
    "forgotten": 0,
    "cut": False,
}


def served(root, partner: str):
    """The process of a page whose partner has these arguments, and the page's address."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command(partner, "chat", "--web"), env=environment(root), **pipes)
    said = ""
    for line in process.stdout:
        said += line
        if found := re.search(r"Open (http://127\.0\.0\.1:\d+/\S+/) in a browser", line):
            return process, found[1]
    raise AssertionError(said)


@pytest.fixture(scope="module")
def address(request):
    """The address of a page whose partner says the alphabet, over and over, and not too fast."""
    process, url = served(request.config.rootpath, "seconds=0.02, last=None, block_size=2048")
    yield url
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=patience(5))
    assert process.returncode == 0 and "Traceback" not in rest, rest


def ask(url: str, path: str = "", method: str = "GET", body=None, **headers) -> tuple:
    """Status, headers and text of an answer of the server's."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=patience(5))
    connection.request(method, where.path + path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


# --- who gets in --------------------------------------------------------------------------------


def test_who_knows_the_address_gets_the_page_and_nothing_may_be_loaded_from_elsewhere(address):
    status, headers, text = ask(address)
    assert status == 200 and "Your turn" in text
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ") and "http" not in policy
    assert headers["Referrer-Policy"] == "no-referrer", "or a link would tell the token"
    assert headers["Cache-Control"] == "no-store"
    assert len(urlsplit(address).path.strip("/")) >= 40
    for name in ("page.css", "page.js"):
        assert ask(address, name)[0] == 200 and "http:" not in ask(address, name)[2]


@pytest.mark.parametrize("path", ["/", "/wrong/", "/wrong/answer", "//", "/é/", "/%00/"])
def test_a_wrong_token_is_refused(address, path):
    root = "http://" + urlsplit(address).netloc
    for method in ("GET", "POST"):
        status, _, text = ask(root, path.replace("é", "%C3%A9"), method, "{}")
        assert status == 403 and text == "Open the whole address that the terminal shows."


def test_a_token_that_is_nearly_right_is_refused(address):
    token = urlsplit(address).path.strip("/")
    for wrong in (token[:-1], token + "x", token.swapcase(), ""):
        assert ask("http://" + urlsplit(address).netloc, f"/{wrong}/about")[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "[::1]:80", ""])
def test_a_request_under_another_name_is_refused(address, host):
    status, headers, text = ask(address, Host=host)
    assert status == 403 and "only to its own address" in text
    assert "Access-Control-Allow-Origin" not in headers


def test_it_listens_on_the_loopback_address_alone():
    with web.listening(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_one_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = call("chat", "--web", "--port", port)
    assert said.exit_code == 1 and said.stderr.count("\n") == 1
    assert said.stderr.startswith(f"Port {port} can't be had (Address already in use): name anoth")


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    said = call("chat", "--web")
    assert said.exit_code == 1
    assert said.stderr == "The page needs starlette and uvicorn: `pip install starlette uvicorn`.\n"


# --- what it is asked ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"turns": []},
        {"turns": [{"role": "assistant", "content": "x"}]},
        {"turns": [{"role": "user", "content": 1}]},
        {"turns": [{"role": "user", "content": "x"}] * 2},
        {"turns": [{"role": "system", "content": "x"}]},
        {"turns": None},
        {"temperature": -1},
        {"temperature": None},
        {"system": 5},
        {"forgotten": 2},
        {"forgotten": -2},
        {"forgotten": "0"},
        {"tab": None},
    ],
)
def test_a_question_that_can_t_be_is_refused(change):
    web.question(json.dumps(ASKED).encode(), partner())
    with pytest.raises(ValueError, match="asked what the server doesn't understand"):
        web.question(json.dumps(ASKED | change).encode(), partner())


@pytest.mark.parametrize("sent", [b"", b"[]", b"1", b"\xff", b"[" * 100_000, b'{"turns": []}'])
def test_what_is_no_question_is_refused(sent):
    with pytest.raises(ValueError, match="asked what the server doesn't understand"):
        web.question(sent, partner())


def test_a_conversation_of_megabytes_is_refused(address):
    long = json.dumps(ASKED | {"system": "x" * 2**20})
    status, _, text = ask(address, "answer", "POST", long)
    assert status == 400 and json.loads(text) == {
        "error": "The conversation is too long: begin a new one."
    }


# --- the page, in the browser -------------------------------------------------------------------


@pytest.fixture(scope="module")
def chrome():
    if chromium() is None:
        reason = "needs Chromium: apt-get install chromium, or Chrome"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with browser() as chrome:
        yield chrome


@pytest.fixture
def open_page(chrome, address):
    """A function that opens the page, in a context of its own; none of them asks elsewhere."""
    asked, opened, wrong = [], [], []

    def open_page(width: int = 1200, dark: bool = False):
        scheme = "dark" if dark else "light"
        page = chrome.new_page(viewport={"width": width, "height": 740}, color_scheme=scheme)
        page.set_default_timeout(patience(6) * 1000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        opened.append(page)
        page.goto(address)
        expect(page.get_by_text("This is the alphabet.")).to_be_visible()
        return page

    yield open_page
    for page in opened:
        page.close()
    assert asked and all(url.startswith((address, "data:")) for url in asked), asked
    assert wrong == []


def say(page, text: str) -> None:
    page.get_by_label("Your turn").fill(text)
    page.keyboard.press("Enter")


def last_answer(page):
    return page.locator("li.assistant").last


def test_an_answer_streams_and_can_be_stopped_by_keyboard_or_button(open_page):
    page = open_page()
    field = page.get_by_label("Your turn")
    expect(field).to_be_focused()
    send, stop = (page.get_by_role("button", name=name) for name in ("Send", "Stop"))
    expect(stop).to_be_disabled()
    for how in (lambda: page.keyboard.press("Escape"), stop.click):
        say(page, "hello")
        expect(last_answer(page)).to_contain_text("abcdef")
        expect(send).to_be_disabled()
        assert len(last_answer(page).inner_text()) < 900, "it writes 1,024 letters"
        how()
        expect(page.locator("li.note").last).to_have_text("Stopped.")
        expect(send).to_be_enabled()
        expect(field).to_be_focused()
    kept = last_answer(page).inner_text()
    page.wait_for_timeout(300)
    assert last_answer(page).inner_text() == kept
    assert page.locator("li.assistant").count() == 2


def test_what_was_stopped_is_what_the_next_question_brings_along(open_page):
    page = open_page()
    say(page, "<b>first</b>")
    expect(last_answer(page)).to_contain_text("abc")
    page.keyboard.press("Escape")
    expect(page.locator("li.note")).to_have_text("Stopped.")
    expect(page.locator("li.user")).to_have_text("<b>first</b>")
    kept = last_answer(page).inner_text()
    with page.expect_request("**/answer") as sent:
        say(page, "second")
    turns = sent.value.post_data_json["turns"]
    assert [turn["content"] for turn in turns] == ["<b>first</b>", kept, "second"]
    page.keyboard.press("Escape")


def test_two_tabs_write_at_once_and_do_not_mix(open_page):
    one, other = open_page(), open_page()
    say(one, "one")
    say(other, "other")
    for page in (one, other):
        expect(last_answer(page)).to_contain_text(ABC)
    for page, mine in ((one, "one"), (other, "other")):
        expect(page.locator("li.user")).to_have_text([mine])
        page.keyboard.press("Escape")
        expect(page.locator("li.note")).to_have_text("Stopped.")
        said = last_answer(page).inner_text()
        assert (ABC * 50).startswith(said)


def test_a_new_conversation_has_no_turns(open_page):
    page = open_page()
    say(page, "hello")
    expect(last_answer(page)).to_contain_text("abc")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("li")).to_have_count(0)
    with page.expect_request("**/answer") as sent:
        say(page, "again")
    assert len(sent.value.post_data_json["turns"]) == 1
    expect(last_answer(page)).to_contain_text("abc")
    page.keyboard.press("Escape")
    expect(page.locator("li.assistant")).to_have_count(1)


def test_what_is_too_long_is_said_on_the_page_and_given_back(open_page):
    page = open_page()
    say(page, "x" * 2100)
    expect(page.get_by_role("alert")).to_contain_text("this model reads at most 2,047: shorten it.")
    expect(page.get_by_label("Your turn")).to_have_value("x" * 2100)
    expect(page.locator("li.user")).to_have_count(0)


def test_settings_go_along(open_page):
    page = open_page()
    page.get_by_text("Settings").click()
    page.get_by_label("What the model is told").fill("Be brief.")
    page.get_by_label("Temperature").fill("1.5")
    expect(page.locator("#shown")).to_have_text("1.5")
    with page.expect_request("**/answer") as sent:
        say(page, "hello")
    asked = sent.value.post_data_json
    assert asked["system"] == "Be brief." and asked["temperature"] == 1.5
    page.keyboard.press("Escape")


def test_a_server_that_has_ended_is_said_on_the_page(chrome, root):
    process, url = served(root, "")
    page = chrome.new_page()
    page.goto(url)
    expect(page.get_by_text("This is the alphabet.")).to_be_visible()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=patience(5))
    say(page, "hello")
    expect(page.get_by_role("alert")).to_contain_text("is `zerotohero chat --web` still running?")
    expect(page.get_by_label("Your turn")).to_have_value("hello")
    page.close()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1200])
def test_all_text_can_be_read_and_nothing_is_wider_than_the_page(open_page, width, dark):
    page = open_page(width, dark)
    page.get_by_text("Settings").click()
    say(page, "a-word-that-is-longer-than-a-line-" * 4)
    expect(last_answer(page)).to_contain_text(ABC)
    page.keyboard.press("Escape")
    expect(page.locator("li.note")).to_be_visible()
    say(page, "x" * 2100)
    expect(page.get_by_role("alert")).to_be_visible()
    seen = page.evaluate(COLOURS)
    assert len(seen) > 12
    for text, colour, ground in seen:
        assert contrast(colour, ground) >= 4.5, (text, colour, ground)
    assert (sum(rgb(seen[0][2])) < 200) == dark
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# Of each text that is seen: its words, its colour, and that of the ground below it.
COLOURS = """() => [...document.body.querySelectorAll("*")]
  .filter((e) => e.checkVisibility() && !e.matches(":disabled")
    && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
  .map((e) => {
    let under = e;
    while (under.parentElement && getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)")
      under = under.parentElement;
    return [e.textContent.slice(0, 40), getComputedStyle(e).color,
            getComputedStyle(under).backgroundColor];
  })"""


def rgb(colour: str) -> list[float]:
    return [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2: 1 is the same colour, 21 black on white."""

    def luminance(colour: str) -> float:
        parts = [c / 255 for c in rgb(colour)]
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
