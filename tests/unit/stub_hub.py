"""A model hub on this machine: as much of the hub's HTTP API as uploading and downloading a repository takes."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml


class Hub:
    """Repositories as {name: {commit: {file: bytes}}}, the newest commit last."""

    def __init__(self):
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.sizes: dict[str, int] = {}  # what is said of a file's size, where it is no truth
        self.downloads: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def commit(self, repo: str, files: dict[str, bytes]) -> str:
        """Add files to a repository; returns the commit."""
        commits = self.repos.setdefault(repo, {})
        files = (list(commits.values())[-1] if commits else {}) | files
        sha = hashlib.sha1(repr((len(commits), sorted(files.items()))).encode()).hexdigest()
        commits[sha] = files
        return sha


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        if self.headers.get("Authorization") != "Bearer hf_writes":
            return self._json(401, {"error": "Invalid username or password."})
        if path == "/api/repos/create":
            wanted = json.loads(body)
            repo = f"{wanted['organization']}/{wanted['name']}"
            exists = repo in self.hub.repos
            self.hub.repos.setdefault(repo, {})
            return self._json(409 if exists else 200, {"url": f"{self.hub.url}/{repo}", "name": repo})
        if path == "/api/validate-yaml":
            front = re.match(r"---\n(.*?)\n---\n", json.loads(body)["content"], re.DOTALL)
            valid = front is not None and isinstance(yaml.safe_load(front[1]), dict)
            return self._json(200 if valid else 400, {"warnings": [], "errors": [] if valid else [{"message": "YAML"}]})
        if match := re.fullmatch(r"/api/models/(.+?/.+?)/preupload/main", path):
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": file, "uploadMode": "regular", "shouldIgnore": False} for file in files]
            return self._json(200, {"files": modes})
        if match := re.fullmatch(r"/api/models/(.+?/.+?)/commit/main", path):
            lines = [json.loads(line)["value"] for line in body.splitlines() if json.loads(line)["key"] == "file"]
            sha = self.hub.commit(match[1], {line["path"]: base64.b64decode(line["content"]) for line in lines})
            return self._json(
                200, {"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{match[1]}/commit/{sha}"}
            )
        return self._json(404, {"error": path})

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        match = re.fullmatch(r"(?:/api/models)?/([^/]+/[^/]+)/(revision|tree|resolve)/([^/]+)(?:/(.+))?", path)
        if not match or match[1] not in self.hub.repos:
            return self._json(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        repo, what, revision, name = match.groups()
        commits = self.hub.repos[repo]
        sha = list(commits)[-1] if revision == "main" else revision
        if sha not in commits:
            return self._json(404, {"error": "Revision not found"}, {"X-Error-Code": "RevisionNotFound"})
        files = commits[sha]
        if what == "revision":
            siblings = [{"rfilename": file} for file in files]
            return self._json(200, {"id": repo, "modelId": repo, "sha": sha, "siblings": siblings, "tags": []})
        if what == "tree":
            sizes = {file: self.hub.sizes.get(file, len(content)) for file, content in files.items()}
            oids = {file: hashlib.sha1(content).hexdigest() for file, content in files.items()}
            return self._json(
                200, [{"type": "file", "path": file, "size": sizes[file], "oid": oids[file]} for file in files]
            )
        if name not in files:
            return self._json(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        if self.command == "GET":
            self.hub.downloads.append(f"{repo}/{name}")
        content = files[name]
        size = {"X-Linked-Size": str(self.hub.sizes[name])} if name in self.hub.sizes else {}
        self._send(200, content, {"X-Repo-Commit": sha, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'} | size)

    def _json(self, status, value, headers=None):
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"} | (headers or {}))

    def _send(self, status, content, headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
