"""`zerotohero chat --web`: one page on this machine's own address, and nothing that leaves it.

The page's address holds a random token, since every user of a machine can open its loopback
address; and only requests to that address by its name are answered, so that no web site can have a
browser send them here under a name of its own. The turns are the page's: each question brings them
along, so tabs can't mix.
"""

import contextlib
import json
import os
import secrets
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path

from zerotohero.course.chat.conversation import Conversation, checked_temperature
from zerotohero.course.chat.partner import Partner, load
from zerotohero.course.chat.reader import Reader

ADDRESS = "127.0.0.1"
MOST = 2**20  # bytes of a question with all its turns
KEPT = 4  # tabs whose turns needn't be read from the beginning again
FILES = {"": "page.html", "page.css": "page.css", "page.js": "page.js"}
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def serve(folder: Path | None = None, port: int = 0) -> None:
    """Serve the page until Ctrl-C, and print its address; port 0 is any free one.

    It doesn't open the page: a browser's command line, with the token in it, is for all users of
    the machine to see. ImportError if a package is missing, OSError if the port can't be had, and
    what `partner.load` raises; each with one sentence.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError:
        raise ImportError(
            "The page needs starlette and uvicorn: `pip install starlette uvicorn`."
        ) from None
    with listening(port) as listener:
        token, port = secrets.token_urlsafe(), listener.getsockname()[1]
        print("Loading the model …", flush=True)
        app = page(load(folder), token, port)
        # A second for answers that are being written when it ends.
        config = uvicorn.Config(
            app, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        print(f"Open http://{ADDRESS}:{port}/{token}/ in a browser; Ctrl-C ends it.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def listening(port: int) -> socket.socket:
    """Return a socket that listens on the loopback address. OSError, in a sentence, if it can't."""
    listener = socket.socket()
    try:
        if os.name != "nt":  # there it would share the port with a program that has it already
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or "ports go from 0 to 65535"
        raise OSError(
            f"Port {port} can't be had ({why}): name another, or none for any that is free."
        ) from None
    return listener


def page(partner: Partner, token: str, port: int):
    """Return the application: the page's files, what it is told, and answers."""
    from starlette.applications import Starlette
    from starlette.responses import FileResponse, JSONResponse, StreamingResponse
    from starlette.routing import Route

    readers = Readers(partner)

    async def file(request):
        path = Path(__file__).with_name(FILES[request.url.path.removeprefix(f"/{token}/")])
        return FileResponse(path, media_type=KINDS[path.suffix])

    async def about(request):
        said = ("says", "answers", "system", "temperature")
        return JSONResponse({name: getattr(partner, name) for name in said})

    async def answer(request):
        try:
            asked = question(await body(request), partner)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        return StreamingResponse(readers.answer(**asked), media_type="application/x-ndjson")

    routes = [Route(f"/{token}/{name}", file) for name in FILES]
    routes.append(Route(f"/{token}/about", about))
    routes.append(Route(f"/{token}/answer", answer, methods=["POST"]))
    return Guard(Starlette(routes=routes), token, port)


class Guard:
    """Lets through only who knows the token, and calls the machine by its own address."""

    def __init__(self, app, token: str, port: int):
        self.app, self.token = app, token.encode()
        self.hosts = {f"{name}:{port}".encode() for name in (ADDRESS, "localhost")}

    async def __call__(self, scope, receive, send) -> None:
        from starlette.datastructures import MutableHeaders
        from starlette.responses import PlainTextResponse

        async def with_headers(message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        host = dict(scope["headers"]).get(b"host", b"")
        given = scope["path"].encode("utf-8", "replace").split(b"/")[1]
        app = self.app
        if host not in self.hosts:
            app = PlainTextResponse("This page answers only to its own address.", 403)
        elif not secrets.compare_digest(given, self.token):
            app = PlainTextResponse("Open the whole address that the terminal shows.", 403)
        await app(scope, receive, with_headers)


async def body(request) -> bytes:
    """Return what was sent. ValueError if it is too long."""
    received = b""
    async for part in request.stream():
        received += part
        if len(received) > MOST:
            raise ValueError("The conversation is too long: begin a new one.")
    return received


def question(sent: bytes, partner: Partner) -> dict:
    """Return what a page asks: its tab, and a conversation with the text to answer.

    ValueError if it asks anything else.
    """
    try:
        asked = json.loads(sent)
        conversation = Conversation(partner, Reader(partner.model))
        conversation.temperature = checked_temperature(str(asked["temperature"]))
        *conversation.turns, last = asked["turns"]
        roles = [turn["role"] for turn in (*conversation.turns, last)]
        texts = [turn["content"] for turn in (*conversation.turns, last)]
        if asked["system"] is not None and partner.system:
            conversation.system = asked["system"]
            texts.append(conversation.system)
        conversation.forgotten, conversation.cut = asked["forgotten"], asked["cut"]
        fine = (
            roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
            and all(isinstance(text, str) for text in (*texts, asked["tab"]))
            and conversation.forgotten in range(0, len(roles), 2)
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        fine = False
    if not fine:
        raise ValueError("The page asked what the server doesn't understand: load it again.")
    return {"tab": asked["tab"], "conversation": conversation, "text": last["content"]}


class Readers:
    """Who reads for which tab, and the answers, a token of each in turn."""

    def __init__(self, partner: Partner):
        import anyio

        self.partner = partner
        self.idle: OrderedDict[str, Reader] = OrderedDict()  # by tab
        self.turn = anyio.CapacityLimiter(1)  # or they'd slow each other down

    async def answer(self, tab: str, conversation: Conversation, text: str) -> AsyncIterator[str]:
        """Yield an answer as lines of JSON. It stops where the page no longer listens."""
        from anyio.to_thread import run_sync

        conversation.reader = reader = self.idle.pop(tab, None) or Reader(self.partner.model)
        answer = conversation.answer(text)
        try:
            while (said := await run_sync(next, answer, None, limiter=self.turn)) is not None:
                told = {name: value for name, value in said._asdict().items() if value}
                if said.note:
                    told |= {"forgotten": conversation.forgotten, "cut": conversation.cut}
                yield (json.dumps(told) if told else "") + "\n"
        except ValueError as error:
            yield json.dumps({"error": str(error)}) + "\n"
        finally:
            answer.close()
            self.idle[tab] = reader
            while len(self.idle) > KEPT:
                self.idle.popitem(last=False)
