"""Is the test hub a true one? huggingface_hub downloads from it: python3 check_hub.py RECAST ROOT

RECAST makes a small checkpoint; tests/net/hub_server.py under ROOT serves it. Whole snapshots,
single files, model_info, the tree in pages and how what is missing is refused are those of the
real hub if this library, which knows no other, is content. huggingface_hub is never installed by
us.
"""

import filecmp
import os
import subprocess
import sys
import tempfile
import time

os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy"):
    os.environ.pop(name, None)

from huggingface_hub import HfApi, hf_hub_download, snapshot_download  # noqa: E402
from huggingface_hub.errors import (  # noqa: E402
    EntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

failures = 0


def check(ok, what):
    global failures
    if not ok:
        failures += 1
        print(f"FAIL hub: {what}")


def raises(error, f, what):
    try:
        f()
    except error:
        return
    except Exception as e:
        check(False, f"{what}: {type(e).__name__}: {e}")
        return
    check(False, f"{what}: nothing was raised")


def files_of(folder):
    out = []
    for base, _, names in os.walk(folder):
        out += [os.path.relpath(os.path.join(base, n), folder) for n in names]
    return sorted(n for n in out if not n.startswith(".cache"))


def same(a, b, what):
    names = files_of(a)
    check(names and names == files_of(b), f"{what}: other files")
    _, differ, errors = filecmp.cmpfiles(a, b, names, shallow=False)
    check(not differ and not errors, f"{what}: {differ + errors} differ")


def start(server, root, work, *options):
    ports = os.path.join(work, "ports")
    if os.path.exists(ports):
        os.remove(ports)
    process = subprocess.Popen(
        [sys.executable, server, "--root", root, "--port-file", ports, *options]
    )
    while not os.path.exists(ports) and process.poll() is None:
        time.sleep(0.02)
    with open(ports, encoding="ascii") as f:
        return process, dict(line.strip().split("=") for line in f)


def everything(endpoint, source, work, token, what):
    home = os.path.join(work, what)
    api = HfApi(endpoint=endpoint, token=token)
    info = api.model_info("local/tiny", files_metadata=True)
    check(len(info.sha) == 40, "model_info: the commit")
    check([s.rfilename for s in info.siblings] == files_of(source), "model_info: the files")
    for s in info.siblings:
        size = os.path.getsize(os.path.join(source, s.rfilename))
        check(s.size == size, f"model_info: the size of {s.rfilename}")
    common = {"endpoint": endpoint, "token": token}
    got = snapshot_download("local/tiny", cache_dir=home, **common)
    check(os.path.basename(got) == info.sha, "snapshot: the commit")
    same(source, got, f"{what}: snapshot")
    for blob in os.listdir(os.path.join(home, "models--local--tiny", "blobs")):
        check(len(blob) in (40, 64), f"{blob}: not named by its content")
    folder = snapshot_download("local/tiny", local_dir=home + "-dir", revision=info.sha, **common)
    same(source, folder, f"{what}: snapshot in a folder")
    one = "model-00001-of-00005.safetensors"
    for name in (one, "config.json", "encoding/README.md"):
        got = hf_hub_download("local/tiny", name, cache_dir=home + "-one", **common)
        ok = filecmp.cmp(got, os.path.join(source, name), shallow=False)
        check(ok, f"{what}: {name}")
    tree = list(api.list_repo_tree("local/tiny", recursive=True))
    check(sum(hasattr(e, "blob_id") for e in tree) == len(files_of(source)), "the tree's files")
    flat = [e.path for e in api.list_repo_tree("local/tiny")]
    check("encoding" in flat and "encoding/README.md" not in flat, "the tree, one level")
    url = lambda name, **more: hf_hub_download("local/tiny", name, cache_dir=home, **common, **more)
    raises(EntryNotFoundError, lambda: url("no-such-file"), "a missing file")
    raises(RevisionNotFoundError, lambda: url("config.json", revision="none"), "a missing revision")
    raises(RepositoryNotFoundError, lambda: api.model_info("local/none"), "a missing repository")


def main():
    recast, tree = os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[2])
    server = os.path.join(tree, "tests", "net", "hub_server.py")
    with tempfile.TemporaryDirectory() as work:
        root = os.path.join(work, "root")
        source = os.path.join(root, "local", "tiny")
        os.makedirs(os.path.dirname(source))
        made = [recast, "synth", source, "--like", "tiny", "--layers", "2", "--experts", "2"]
        subprocess.run([*made, "--quiet"], check=True)
        ways = (
            ("plain", None, []),
            ("pages", None, ["--page-size", "3"]),
            ("relative", None, ["--relative"]),
            ("token", "hf_secret", ["--token", "hf_secret"]),
        )
        for what, token, options in ways:
            process, ports = start(server, root, work, *options)
            try:
                endpoint = f"http://127.0.0.1:{ports['HUB']}"
                everything(endpoint, source, work, token or False, what)
                if token:
                    info = HfApi(endpoint=endpoint, token=False).model_info
                    raises(RepositoryNotFoundError, lambda: info("local/tiny"), "no token")
            finally:
                process.terminate()
                process.wait()
    if failures == 0:
        print("ok hub: huggingface_hub takes the test hub for a true one")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
