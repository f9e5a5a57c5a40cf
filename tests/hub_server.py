"""A Hub on this machine for tests: model and dataset repositories in memory, over HTTP, with LFS.

Run what talks to it as a process of its own, because `huggingface_hub` reads its environment at import:

    with HubServer() as hub:
        subprocess.run(command, env={**os.environ, **hub.environment(tmp_path / "home")})
        hub.files("me/model")["config.json"]
"""

import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE_SUFFIXES = {".parquet", ".safetensors", ".bin", ".png", ".arrow"}
LARGE_BYTES = 10_000_000


@dataclass(frozen=True)
class Request:
    """A request of a client; the path stays quoted, so that a revision may contain slashes."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    time: float = field(default_factory=time.monotonic)

    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@dataclass
class Reply:
    """The answer to a request."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200) -> "Reply":
        return cls(json.dumps(value).encode(), status, {"Content-Type": "application/json"})

    @classmethod
    def missing(cls, code: str) -> "Reply":
        """A 404 of kind `EntryNotFound`, `RevisionNotFound` or `RepoNotFound`."""
        return cls(json.dumps({"error": code}).encode(), 404, {"X-Error-Code": code, "X-Error-Message": code})


@dataclass(frozen=True)
class Commit:
    """A state of a repository."""

    sha: str
    title: str
    files: dict[str, bytes]


@dataclass
class Repository:
    """A repository: commits on main and on other branches, the newest last."""

    repo_id: str
    private: bool
    commits: list[Commit]
    branches: dict[str, list[Commit]] = field(default_factory=dict)

    def branch(self, name: str) -> list[Commit] | None:
        return self.commits if name in ("main", "HEAD") else self.branches.get(name)

    def at(self, revision: str) -> Commit | None:
        if branch := self.branch(revision):
            return branch[-1]
        every = [commit for branch in (self.commits, *self.branches.values()) for commit in branch]
        return next((commit for commit in every if commit.sha == revision), None)


def is_large(path: str, size: int) -> bool:
    """Whether the Hub would keep the file in LFS."""
    return size > LARGE_BYTES or PurePosixPath(path).suffix in LARGE_SUFFIXES


def oid_of(path: str, data: bytes) -> str:
    """The file's ETag: SHA-256 in LFS, else git's hash of a blob."""
    if is_large(path, len(data)):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class HubServer:
    """The server; start it with `with`. Failures are injected with `fail`.

    Args:
        token: the one that may write, and read what is private.

    Example:
        >>> with HubServer() as hub:
        ...     HfApi(hub.url, token="hf_test").create_repo("me/model")
        ...     hub.files("me/model")
        {}
    """

    def __init__(self, token: str = "hf_test") -> None:
        self.token = token
        self.repositories: dict[tuple[str, str], Repository] = {}  # by (type, id), type "model" or "dataset"
        self.requests: list[Request] = []  # those that failed too
        self._faults: list[tuple[str, str, list[Reply | None]]] = []
        self._blobs: dict[str, bytes] = {}
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, home: Path) -> dict[str, str]:
        """Environment variables of a process that takes this server for the Hub; `home` is its own `HF_HOME`."""
        settings = {"HF_ENDPOINT": self.url, "HF_TOKEN": self.token, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home)}
        return {**settings, "NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "0"}

    def files(self, repo_id: str, repo_type: str = "model", branch: str = "main") -> dict[str, bytes]:
        """Returns the files of the newest commit by path; raises KeyError if the repository does not exist."""
        commits = self.repositories[repo_type, repo_id].branch(branch)
        return dict(commits[-1].files) if commits else {}

    def fail(self, method: str, pattern: str, *replies: Reply | None) -> None:
        """Answers the next requests to paths of this pattern with `replies`; with None the connection is cut instead.

        Later requests are answered normally. A connection is cut when half of the request has arrived.
        """
        self._faults.append((method, pattern, list(replies)))

    def fault(self, method: str, path: str) -> list[Reply | None]:
        """Returns the injected reply to a request in a list, which is empty if there is none."""
        with self._lock:
            for wanted, pattern, replies in self._faults:
                if replies and wanted == method and re.fullmatch(pattern, path):
                    return [replies.pop(0)]
        return []

    def answer(self, request: Request) -> Reply:
        """The reply to a request; called from several threads."""
        with self._lock:
            for methods, pattern, respond, needs_token in self._routes():
                match = re.fullmatch(pattern, request.path)
                if match is None or request.method not in methods:
                    continue
                if needs_token and not self._has_token(request):
                    return Reply.json({"error": "Invalid username or password."}, 401)
                found = {name: unquote(value or "") for name, value in match.groupdict().items()}
                return (
                    self._in_repository(request, respond, **found) if "repo_id" in found else respond(request, **found)
                )
            return Reply.missing("EntryNotFound")

    def _routes(self) -> list[tuple[str, str, Callable[..., Reply], bool]]:
        api = r"/api/(?P<kind>model|dataset)s/(?P<repo_id>[^/]+/[^/]+)"
        plain = r"/(?P<kind>datasets/)?(?P<repo_id>[^/]+/[^/]+?)"
        rev = r"(?P<revision>[^/]+)"
        return [
            ("GET", "/api/whoami-v2", self._whoami, True),
            ("POST", "/api/validate-yaml", lambda request: Reply.json({"errors": [], "warnings": []}), False),
            ("POST", "/api/repos/create", self._create, True),
            ("GET", rf"{api}(/revision/{rev})?", self._info, False),
            ("GET", rf"{api}/tree/{rev}(/(?P<path>.*))?", self._tree, False),
            ("GET", rf"{api}/commits/{rev}", self._commits, False),
            ("POST", rf"{api}/paths-info/{rev}", self._paths_info, False),
            ("POST", rf"{api}/preupload/{rev}", self._preupload, True),
            ("POST", rf"{api}/commit/(?P<branch>[^/]+)", self._commit, True),
            ("POST", rf"{api}/branch/(?P<branch>[^/]+)", self._create_branch, True),
            ("POST", rf"{plain}\.git/info/lfs/objects/batch", self._batch, True),
            # The address is the permission: clients send no token there.
            ("PUT", "/lfs-upload/(?P<oid>[0-9a-f]{64})", self._upload, False),
            ("GET HEAD", rf"{plain}/resolve/{rev}/(?P<path>.*)", self._resolve, False),
        ]

    def _has_token(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.token}"

    def _in_repository(
        self,
        request: Request,
        respond: Callable[..., Reply],
        kind: str,
        repo_id: str,
        revision: str = "",
        **rest: str,
    ) -> Reply:
        repository = self.repositories.get(("dataset" if kind.startswith("dataset") else "model", repo_id))
        if repository is None or (repository.private and not self._has_token(request)):
            return Reply.missing("RepoNotFound")
        commit = repository.at(revision or "main")
        return respond(request, repository, commit, **rest) if commit else Reply.missing("RevisionNotFound")

    def _whoami(self, request: Request) -> Reply:
        return Reply.json({"type": "user", "name": "me", "auth": {"accessToken": {"role": "write"}}, "orgs": []})

    def _create(self, request: Request) -> Reply:
        wanted = request.json()
        kind, repo_id = wanted.get("type", "model"), f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        url = f"{self.url}/{'datasets/' * (kind == 'dataset')}{repo_id}"
        if (kind, repo_id) in self.repositories:
            return Reply.json({"error": "You already created this repo", "url": url}, 409)
        first = Commit(hashlib.sha1(repo_id.encode()).hexdigest(), "initial commit", {})
        self.repositories[kind, repo_id] = Repository(repo_id, wanted.get("visibility") == "private", [first])
        return Reply.json({"url": url, "name": repo_id, "id": repo_id})

    def _info(self, request: Request, repository: Repository, commit: Commit) -> Reply:
        siblings = [{"rfilename": path, "size": len(data)} for path, data in commit.files.items()]
        facts = {"id": repository.repo_id, "sha": commit.sha, "private": repository.private, "siblings": siblings}
        return Reply.json({**facts, "tags": [], "downloads": 0, "likes": 0, "gated": False, "disabled": False})

    def _tree(self, request: Request, repository: Repository, commit: Commit, path: str) -> Reply:
        inside = {name: data for name, data in commit.files.items() if not path or name.startswith(f"{path}/")}
        if path and not inside:
            return Reply.missing("EntryNotFound")
        parents = {str(parent) for name in inside for parent in PurePosixPath(name).parents} - {".", path}
        entries = [_folder(name) for name in parents] + [_file(name, data) for name, data in inside.items()]
        if request.query.get("recursive", ["false"])[0].lower() != "true":
            entries = [entry for entry in entries if str(PurePosixPath(entry["path"]).parent) == (path or ".")]
        return Reply.json(sorted(entries, key=lambda entry: str(entry["path"])))

    def _commits(self, request: Request, repository: Repository, commit: Commit) -> Reply:
        made = {"authors": [{"user": "me"}], "date": "2024-01-01T00:00:00.000Z", "message": ""}
        return Reply.json([{"id": commit.sha, "title": commit.title, **made} for commit in repository.commits[::-1]])

    def _paths_info(self, request: Request, repository: Repository, commit: Commit) -> Reply:
        wanted = parse_qs(request.body.decode()).get("paths", [])
        files = [_file(path, commit.files[path]) for path in wanted if path in commit.files]
        folders = [path for path in wanted if any(name.startswith(f"{path}/") for name in commit.files)]
        return Reply.json([*files, *map(_folder, folders)])

    def _preupload(self, request: Request, repository: Repository, commit: Commit) -> Reply:
        there = {path: oid_of(path, data) for path, data in commit.files.items()}
        answers = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if is_large(file["path"], file["size"]) else "regular",
                "shouldIgnore": False,
                "oid": there.get(file["path"]),
            }
            for file in request.json()["files"]
        ]
        return Reply.json({"files": answers})

    def _batch(self, request: Request, repository: Repository, commit: Commit) -> Reply:
        objects: list[dict[str, Any]] = [
            {"oid": part["oid"], "size": part["size"]} for part in request.json()["objects"]
        ]
        for part in objects:
            if part["oid"] not in self._blobs:
                part["actions"] = {"upload": {"href": f"{self.url}/lfs-upload/{part['oid']}"}}
        return Reply.json({"transfer": "basic", "objects": objects})

    def _upload(self, request: Request, oid: str) -> Reply:
        if hashlib.sha256(request.body).hexdigest() != oid:
            return Reply.json({"error": "the content is not what its hash says"}, 422)
        self._blobs[oid] = request.body
        return Reply()

    def _create_branch(self, request: Request, repository: Repository, commit: Commit, branch: str) -> Reply:
        if repository.branch(branch):
            return Reply.json({"error": "Reference already exists"}, 409)
        repository.branches[branch] = [commit]
        return Reply.json({})

    def _commit(self, request: Request, repository: Repository, commit: Commit, branch: str) -> Reply:
        commits = repository.branch(branch)
        if not commits:
            return Reply.missing("RevisionNotFound")
        files, title = dict(commits[-1].files), ""
        for line in request.body.splitlines():
            key, value = (item := json.loads(line))["key"], item["value"]
            if key == "header":
                title = value["summary"]
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self._blobs:
                    return Reply.json({"error": f"{value['path']} was not uploaded"}, 400)
                files[value["path"]] = self._blobs[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
            elif key == "deletedFolder":
                files = {path: data for path, data in files.items() if not path.startswith(value["path"])}
            else:
                return Reply.json({"error": f"unknown operation {key}"}, 400)
        sha = hashlib.sha1(f"{branch}{commits[-1].sha}{len(commits)}".encode() + request.body).hexdigest()
        commits.append(Commit(sha, title, files))
        return Reply.json(
            {"commitUrl": f"{self.url}/{repository.repo_id}/commit/{sha}", "commitOid": sha, "success": True}
        )

    def _resolve(self, request: Request, repository: Repository, commit: Commit, path: str) -> Reply:
        if path not in commit.files:
            reply = Reply.missing("EntryNotFound")
            reply.headers["X-Repo-Commit"] = commit.sha
            return reply
        data = commit.files[path]
        headers = {"ETag": f'"{oid_of(path, data)}"', "X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if part is None:
            return Reply(data, 200, headers)
        first, last = int(part[1]), min(int(part[2] or len(data)), len(data) - 1)
        return Reply(data[first : last + 1], 206, headers | {"Content-Range": f"bytes {first}-{last}/{len(data)}"})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self) -> None:
                url = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                fault = hub.fault(self.command, url.path)
                body = self.read_half() if fault == [None] else self.read_body()
                request = Request(self.command, url.path, parse_qs(url.query), headers, body)
                hub.requests.append(request)
                reply = fault[0] if fault else hub.answer(request)
                if reply is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(reply.status)
                for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)

            do_GET = do_HEAD = do_POST = do_PUT = respond

            def read_half(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2)

            def read_body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: `HubServer.requests` remembers them."""

        return Handler


def _file(path: str, data: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(data), "oid": oid_of(path, data)}
    if is_large(path, len(data)):
        entry["lfs"] = {"oid": oid_of(path, data), "size": len(data), "pointerSize": 130}
    return entry


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}
