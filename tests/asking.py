"""An exercise for a worker, in as few imports as a process of its own needs."""

from pathlib import Path

from zerotohero.course import without as taken_away
from zerotohero.course.plain import pack


def question(
    source: str, seconds: float = 10, cases: int = 1, without: tuple[str, ...] = ()
) -> tuple[dict, list[bytes]]:
    """An exercise whose cases call `answer()` of the source."""
    asked = {
        "adapters": "trial",
        "sources": {
            "trial": "def run(answer): return answer()",
            "zerotohero": "",
            "zerotohero.course": "",
            "zerotohero.course.without": Path(taken_away.__file__).read_text(),
        },
        "source": source,
        "answers": ["answer"],
        "cases": ["run"] * cases,
        "seconds": seconds,
        "reply": 2**20,
        "without": without,
    }
    return asked, [pack({})] * cases
