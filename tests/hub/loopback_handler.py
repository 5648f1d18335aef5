"""The requests that the loopback Hub answers, as huggingface_hub sends them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.hub.loopback_state import LFS_FROM, OWNER, PART, Repo

if TYPE_CHECKING:
    from tests.hub.loopback import Hub


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_GET

    def _serve(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        path = unquote(url.path)
        line = f"{self.command} {path}"
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) if self.command in ("POST", "PUT") else b""
        with self.hub.lock:
            self.hub.log.append(line)
            self.hub.seen.append((line, dict(self.headers.items())))
            self.trouble = next((f for f in self.hub.faults if f.times > 0 and re.search(f.pattern, line)), None)
            if self.trouble:
                self.trouble.times -= 1
        if self.trouble and self.trouble.wait:
            threading.Event().wait(self.trouble.wait)
        if self.trouble and self.trouble.status:
            return self._send(self.trouble.status, b'{"error": "trouble was ordered"}', self.trouble.headers)
        for pattern, method in ROUTES:
            if match := re.fullmatch(pattern, line):
                with self.hub.lock:
                    answer = method(self, body, *match.groups())
                return self._send(*answer)
        return self._send(404, b"{}", {"X-Error-Message": f"no route {line}"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        trouble = self.trouble
        if trouble and trouble.change and status < 300:
            body = trouble.change(body)
        if trouble and trouble.announce:
            headers = (headers or {}) | trouble.announce
        if trouble and trouble.lie and status in (200, 206) and self.command == "GET":
            self.close_connection = True
            with contextlib.suppress(OSError):
                trouble.lie(self, body)
            return
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if trouble and 0 <= trouble.cut_after < len(body):
            body = body[: trouble.cut_after]
            self.close_connection = True
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    # --- who may -----------------------------------------------------------------------------------------------------

    def _owner(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {OWNER}"

    def _readable(self, name: str) -> tuple[Repo | None, tuple[int, bytes, dict[str, str]]]:
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and not self._owner()):
            status = 404 if self.headers.get("Authorization") else 401
            return None, (status, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        return repo, (200, b"", {})

    # --- the API -----------------------------------------------------------------------------------------------------

    def create(self, body: bytes) -> Any:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if not self._owner():
            return 401, b'{"error": "Invalid username or password."}', {}
        if name in self.hub.repos:
            return 409, json.dumps({"error": "You already created this model repo"}).encode(), {}
        private = asked.get("private") is True or asked.get("visibility") == "private"
        self.hub.repo(name, private=private)
        return 200, json.dumps({"url": f"{self.hub.endpoint}/{name}", "name": name, "id": name}).encode(), {}

    def info(self, body: bytes, name: str, revision: str | None = None) -> Any:
        repo, refusal = self._readable(name)
        if repo is None:
            return refusal
        sha = repo.find(revision or "main")
        if sha is None:
            return 404, b'{"error": "Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"}
        files = [{"rfilename": path} for path in repo.commits[sha].files]
        found = {"id": name, "modelId": name, "sha": sha, "private": repo.private, "siblings": files, "tags": []}
        return 200, json.dumps(found | {"gated": repo.gated, "downloads": 0, "likes": 0}).encode(), {}

    def preupload(self, body: bytes, name: str, revision: str) -> Any:
        repo = self.hub.repos[name]
        have = repo.commits[repo.find(revision) or repo.refs["main"]].files
        files = []
        for asked in json.loads(body)["files"]:
            path = asked["path"]
            mode = "lfs" if asked["size"] >= LFS_FROM or path.endswith(".safetensors") else "regular"
            oid = etag(have[path], mode == "lfs") if path in have else None
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return 200, json.dumps({"files": files}).encode(), {}

    def batch(self, body: bytes, name: str) -> Any:
        objects = []
        for asked in json.loads(body)["objects"]:
            oid, size = asked["oid"], asked["size"]
            answer: dict[str, Any] = {"oid": oid, "size": size}
            if oid not in self.hub.lfs:
                href = f"{self.hub.endpoint}/lfs/{oid}"
                header = {}
                if size > PART:
                    header = {str(i + 1): f"{href}/{i + 1}" for i in range(-(-size // PART))} | {
                        "chunk_size": str(PART)
                    }
                upload = {"href": href, "header": header}
                answer["actions"] = {"upload": upload, "verify": {"href": f"{href}/verify", "header": {}}}
            objects.append(answer)
        return 200, json.dumps({"transfer": "basic", "objects": objects}).encode(), {}

    def put(self, body: bytes, oid: str, part: str | None) -> Any:
        if part:
            self.hub.parts[oid, int(part)] = body
            return 200, b"", {"ETag": f'"{part}"'}
        self.hub.lfs[oid] = body
        return 200, b"", {}

    def complete(self, body: bytes, oid: str) -> Any:
        numbers = [part["partNumber"] for part in json.loads(body)["parts"]]
        self.hub.lfs[oid] = b"".join(self.hub.parts.pop((oid, number)) for number in numbers)
        return 200, b"{}", {}

    def verify(self, body: bytes, oid: str) -> Any:
        content = self.hub.lfs.get(oid, b"")
        whole = hashlib.sha256(content).hexdigest() == oid and len(content) == json.loads(body)["size"]
        return (200 if whole else 422), b"{}", {}

    def branch(self, body: bytes, name: str, branch: str) -> Any:
        repo = self.hub.repos[name]
        if branch in repo.refs:
            return 409, b'{"error": "Reference already exists"}', {}
        repo.refs[branch] = repo.refs["main"]
        return 200, b"{}", {}

    def commit(self, body: bytes, name: str, revision: str) -> Any:
        repo, refusal = self._readable(name)
        if repo is None or not self._owner():
            return refusal if repo is None else (403, b"{}", {"X-Error-Message": "You have no write access"})
        lines = [json.loads(line) for line in body.splitlines()]
        header = next(item["value"] for item in lines if item["key"] == "header")
        parent = repo.find(revision)
        if parent is None:
            return 404, b"{}", {"X-Error-Code": "RevisionNotFound"}
        if header.get("parentCommit") not in (None, parent):
            return 412, b'{"error": "A commit has happened since. Please refresh and try again."}', {}
        files = dict(repo.commits[parent].files)
        for item in lines:
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.lfs[value["oid"]]
        proposed = "create_pr" in self.query
        ref = f"refs/pr/{len(repo.commits)}" if proposed else revision
        sha = repo.add(ref, files, header["summary"], parent)
        url = f"{self.hub.endpoint}/{name}"
        answer = {"success": True, "commitUrl": f"{url}/commit/{sha}", "commitOid": sha}
        if proposed:
            answer["pullRequestUrl"] = f"{url}/discussions/{ref.rpartition('/')[2]}"
        return 200, json.dumps(answer).encode(), {}

    def validate(self, body: bytes) -> Any:
        block = re.match(r"---\n(.*?)\n---", json.loads(body)["content"], re.DOTALL)
        bad = block is None or not isinstance(yaml.safe_load(block[1]), dict)
        errors = [{"message": "no YAML front matter"}] if bad else []
        return (400 if bad else 200), json.dumps({"errors": errors, "warnings": []}).encode(), {}

    def xet_token(self, body: bytes, name: str, kind: str, revision: str) -> Any:
        repo, refusal = self._readable(name)
        if repo is None or self.hub.xet is None:
            return refusal if repo is None else (404, b"404 page not found", {})
        if kind == "write" and not self._owner():
            return 403, b"{}", {}
        place, token, until = f"local://{self.hub.xet}", "xet-token", 4_000_000_000
        headers = {"X-Xet-Cas-Url": place, "X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(until)}
        return 200, json.dumps({"casUrl": place, "accessToken": token, "exp": until}).encode(), headers

    # --- files -------------------------------------------------------------------------------------------------------

    def resolve(self, body: bytes, name: str, rest: str) -> Any:
        repo, refusal = self._readable(name)
        if repo is None:
            return refusal
        if repo.gated and not self._owner():
            return 403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this repo is restricted"}
        revision = next((ref for ref in sorted(repo.refs, key=len, reverse=True) if rest.startswith(f"{ref}/")), "")
        revision = revision or rest.partition("/")[0]
        sha, path = repo.find(revision), rest[len(revision) + 1 :]
        if sha is None:
            return 404, b"", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": f"Invalid rev id: {revision}"}
        content = repo.commits[sha].files.get(path)
        if content is None:
            return 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha}
        headers = {"X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        if len(content) >= LFS_FROM or path.endswith(".safetensors"):
            oid = etag(content, large=True)
            self.hub.lfs.setdefault(oid, content)
            linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content))}
            if oid in self.hub.xet_hashes:
                route = f"{self.hub.endpoint}/api/models/{name}/xet-read-token/{sha}"
                linked |= {"X-Xet-Hash": self.hub.xet_hashes[oid], "X-Xet-Refresh-Route": route}
            return 302, b"", headers | linked | {"Location": f"{self.hub.cdn}/cdn/{oid}"}
        return self._ranged(content, headers | {"ETag": f'"{etag(content, large=False)}"'})

    def large(self, body: bytes, oid: str) -> Any:
        return self._ranged(self.hub.lfs[oid], {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})

    def _ranged(self, content: bytes, headers: dict[str, str]) -> Any:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            return 200, content, headers | {"Content-Length": str(len(content))}
        first, last = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
        if first >= len(content):
            return 416, b"", {"Content-Range": f"bytes */{len(content)}"}
        piece = content[first : last + 1]
        found = {"Content-Range": f"bytes {first}-{last}/{len(content)}", "Content-Length": str(len(piece))}
        return 206, piece, headers | found


def etag(content: bytes, large: bool) -> str:
    """As the Hub has it: SHA-256 of a large file, git's blob hash of another."""
    if large:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


_NAME = r"([\w.-]+/[\w.-]+)"


ROUTES: list[tuple[str, Callable[..., Any]]] = [
    (r"POST /api/repos/create", Handler.create),
    (rf"GET /api/models/{_NAME}", Handler.info),
    (rf"GET /api/models/{_NAME}/revision/(.+)", Handler.info),
    (rf"POST /api/models/{_NAME}/preupload/(.+)", Handler.preupload),
    (rf"POST /{_NAME}\.git/info/lfs/objects/batch", Handler.batch),
    (r"PUT /lfs/(\w+)(?:/(\d+))?", Handler.put),
    (r"POST /lfs/(\w+)", Handler.complete),
    (r"POST /lfs/(\w+)/verify", Handler.verify),
    (rf"POST /api/models/{_NAME}/branch/(.+)", Handler.branch),
    (rf"POST /api/models/{_NAME}/commit/(.+)", Handler.commit),
    (r"POST /api/validate-yaml", Handler.validate),
    (rf"GET /api/models/{_NAME}/xet-(read|write)-token/(.+)", Handler.xet_token),
    (rf"(?:GET|HEAD) /{_NAME}/resolve/(.+)", Handler.resolve),
    (r"(?:GET|HEAD) /cdn/(\w+)", Handler.large),
]
