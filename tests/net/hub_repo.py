"""What the test hub holds: folders as repositories, with the identities that a hub states.

DIR/ORG/NAME is the branch "main" of the repository ORG/NAME; DIR/ORG/NAME@REV, where it is there,
another revision of it. A commit is a digest of the tree, so that equal folders are equal commits.
Files that git would hold in LFS have the SHA-256 of their bytes, all others git's blob id.
"""

import hashlib
import os
import threading

LFS_SUFFIXES = (".safetensors", ".gguf", ".zst", ".rcz", ".bin")
BLOCK = 1 << 20


def git_blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class File:
    """One file of one commit."""

    def __init__(self, path, where, lfs_from):
        self.path = path
        self.where = where
        self.size = os.stat(where).st_size
        self.lfs = path.endswith(LFS_SUFFIXES) or self.size >= lfs_from
        if self.lfs:
            self.sha256 = self._sha256()
            self.pointer = (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n"
                % (self.sha256.encode(), self.size)
            )
            self.oid = git_blob(self.pointer)
        else:
            with open(where, "rb") as f:
                self.oid = git_blob(f.read())

    def _sha256(self):
        digest = hashlib.sha256()
        with open(self.where, "rb", buffering=0) as f:
            while block := f.read(BLOCK):
                digest.update(block)
        return digest.hexdigest()

    @property
    def etag(self):
        """As the hub states it; the second origin has another."""
        return self.sha256 if self.lfs else self.oid

    def entry(self):
        """As the tree lists it."""
        out = {"type": "file", "oid": self.oid, "size": self.size, "path": self.path}
        if self.lfs:
            out["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": len(self.pointer)}
            out["xetHash"] = hashlib.sha256(b"xet" + self.sha256.encode()).hexdigest()
        return out

    def sibling(self, blobs):
        out = {"rfilename": self.path}
        if blobs:
            out |= {"size": self.size, "blobId": self.oid}
            if self.lfs:
                out["lfs"] = {
                    "sha256": self.sha256,
                    "size": self.size,
                    "pointerSize": len(self.pointer),
                }
        return out


class Commit:
    """A tree: files by path, and the folders between them."""

    def __init__(self, root, lfs_from):
        self.files = {}
        self.folders = set()
        for folder, names, files in os.walk(root):
            names.sort()
            inner = os.path.relpath(folder, root)
            if inner != ".":
                self.folders.add(inner)
            for name in files:
                path = name if inner == "." else f"{inner}/{name}"
                self.files[path] = File(path, os.path.join(folder, name), lfs_from)
        digest = hashlib.sha1()
        for path in sorted(self.files):
            f = self.files[path]
            digest.update(f"{path}\0{f.oid}\0{f.size}\n".encode())
        self.sha = digest.hexdigest()

    def entries(self, folder, recursive):
        """Files and folders below `folder`, sorted by path; None if it is none."""
        if folder and folder not in self.folders:
            return None
        prefix = folder + "/" if folder else ""
        out = [f.entry() for p, f in self.files.items() if p.startswith(prefix)]
        for p in self.folders:
            if p.startswith(prefix):
                oid = hashlib.sha1((self.sha + p).encode()).hexdigest()
                out.append({"type": "directory", "oid": oid, "size": 0, "path": p})
        if not recursive:
            out = [e for e in out if "/" not in e["path"][len(prefix) :]]
        return sorted(out, key=lambda e: e["path"])


class Hub:
    """All repositories under one folder; what was served once by its commit is served for ever."""

    def __init__(self, root, lfs_from=10 << 20):
        self.root = os.path.realpath(root)
        self.lfs_from = lfs_from
        self.lock = threading.Lock()
        self.branches = {}  # (repo, revision) -> Commit
        self.commits = {}  # (repo, sha) -> Commit
        self.stored = {}  # SHA-256 -> File: what lies at the second origin, see stored_file()

    def _load(self, folder, repo, revision):
        commit = Commit(folder, self.lfs_from)
        self.branches[repo, revision] = commit
        self.commits[repo, commit.sha] = commit
        for f in commit.files.values():
            if f.lfs:
                self.stored[f.sha256] = f
        return commit

    def _folder(self, repo, revision):
        name = repo if revision == "main" else f"{repo}@{revision}"
        folder = os.path.realpath(os.path.join(self.root, name))
        inside = folder.startswith(self.root + "/") and "/" not in revision
        return folder if inside and os.path.isdir(folder) else None

    def has(self, repo):
        return self._folder(repo, "main") is not None

    def commit(self, repo, revision):
        """The Commit of a branch or of 40 hex digits, or None."""
        with self.lock:
            known = self.branches.get((repo, revision)) or self.commits.get((repo, revision))
            if known:
                return known
            folder = self._folder(repo, revision)
            if folder:
                return self._load(folder, repo, revision)
            if self._folder(repo, "main") and len(revision) == 40:  # before "main" was asked for
                self._load(self._folder(repo, "main"), repo, "main")
            return self.commits.get((repo, revision))

    def stored_file(self, sha256):
        """By its content; a server that was started again does not know yet what it holds."""
        if sha256 not in self.stored:
            for org in os.listdir(self.root):
                for name in os.listdir(os.path.join(self.root, org)):
                    repo, _, revision = f"{org}/{name}".partition("@")
                    self.commit(repo, revision or "main")
        return self.stored.get(sha256)

    def move(self, repo, branch, to):
        """Let a branch point to another revision; what it was is still there by its commit."""
        target = self.commit(repo, to)
        with self.lock:
            if target:
                self.branches[repo, branch] = target
        return target

    def reload(self, repo):
        """The folder has changed: look again."""
        with self.lock:
            folder = self._folder(repo, "main")
            return self._load(folder, repo, "main") if folder else None
