"""What the server answers, and to whom."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adept_hub.errors import OptionValueError
from adept_training.labels.records import Split
from adept_training.studio import answers as answers_module
from adept_training.studio.answers import Answers
from adept_training.studio.image_sets import open_sets
from adept_training.studio.server import StudioServer, serving
from adept_training.studio.sources import open_source
from tests.training.studio.conftest import EVIL_CLASS, EVIL_FILE


@pytest.fixture
def server(boxes: Path, split: Split) -> Iterator[StudioServer]:
    sources = (open_source(str(boxes)),)
    with serving(Answers(sources, open_sets(sources, None, split))) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(server: StudioServer, path: str, host: str | None = None, method: str = "GET") -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1])
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or server.address.split("/")[2])
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def test_images_come_in_pages_with_hostile_names_as_data(server: StudioServer) -> None:
    start = json.loads(ask(server, "/api/start.json")[2])
    assert (start["sets"][0]["count"], start["per_page"]) == (30, 24)
    assert len(json.dumps(start)) < 3000, "the names of all images are not in it"
    pages = [json.loads(ask(server, f"/api/images/0/{page}.json")[2])["images"] for page in (0, 1, 2)]
    assert [len(page) for page in pages] == [24, 6, 0]
    assert [one["i"] for one in pages[1]] == list(range(24, 30))
    status, headers, body = ask(server, "/api/images/0/1.json")
    assert (status, headers["Content-Type"], headers["X-Content-Type-Options"]) == (200, "application/json", "nosniff")
    assert json.loads(body)["images"][-1] == {"i": 29, "name": EVIL_FILE, "objects": 2}
    assert EVIL_CLASS in start["sets"][0]["classes"]
    found = json.loads(ask(server, "/api/find/0/%3CIMG%20src.json")[2])
    assert [one["i"] for one in found["images"]] == [29]


def test_pictures_have_the_sides_of_the_page(server: StudioServer) -> None:
    status, headers, body = ask(server, "/image/0/0/thumb.jpg")
    assert (status, headers["Content-Type"], body[:3]) == (200, "image/jpeg", b"\xff\xd8\xff")


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/studio.html", "/page/studio.js", "/answers.py",
        "/image/0/0/../thumb.jpg", "/image/9/0/thumb.jpg", "/image/0/99/thumb.jpg", "/image/0/-1/thumb.jpg",
        "/api/boxes/0/99.json", "/api/boxes/0.json", "/api/_errors/0/0.json", "/api/find/0/.json", "/" + "a" * 2000,
    ],
)  # fmt: skip
def test_an_address_is_never_a_path(server: StudioServer, path: str) -> None:
    status, _, body = ask(server, path)
    assert status == 404
    assert b"root:" not in body


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:80", "[::1]"])
def test_another_host_is_refused(server: StudioServer, host: str) -> None:
    assert ask(server, "/api/start.json", host)[0] == 403
    assert ask(server, "/", host)[0] == 403


def test_our_host_is_served_with_a_strict_policy_and_only_get(server: StudioServer) -> None:
    port = server.server_address[1]
    for path in ("/", "/studio.js", "/studio.css", "/api/start.json"):
        status, headers, _ = ask(server, path, f"localhost:{port}")
        policy = headers["Content-Security-Policy"]
        assert status == 200
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "/api/start.json", method="POST")[0] == 501


def test_a_damaged_image_is_an_answer(server: StudioServer, folder: Path) -> None:
    (folder / "03.png").write_bytes(b"no image")
    status, _, body = ask(server, "/image/0/3/large.jpg")
    assert status == 422
    assert "03.png" in json.loads(body)["error"]
    assert ask(server, "/image/0/4/large.jpg")[0] == 200


def test_the_cache_is_bounded(boxes: Path, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "CACHE_BYTES", 4000)
    sources = (open_source(str(boxes)),)
    answers = Answers(sources, open_sets(sources, None, split))
    sizes = [len(answers.answer(f"/image/0/{i}/thumb.jpg").content) for i in range(20)]
    assert sum(sizes) > 4000
    assert sum(len(one.content) for one in answers._cache.values()) == answers._cached <= 4000


def test_a_port_that_is_taken_is_an_error(server: StudioServer) -> None:
    with pytest.raises(OptionValueError, match="--port"), serving(server.answers, server.server_address[1]):
        pass
