"""check_same.py A B - two results are equal to the byte, but for the time they took."""

import json
import os

import common


def files(path):
    out = {}
    for folder, _, names in os.walk(path):
        for name in names:
            full = os.path.join(folder, name)
            if name != ".recast.lock":
                out[os.path.relpath(full, path)] = full
    return out


def content(rel, full):
    with open(full, "rb") as f:
        data = f.read()
    if rel == "recast.json":
        data = json.loads(data)
        del data["run"]
    return data


def main(a, b):
    check = common.Check("same %s %s" % (a, b))
    one, two = files(a), files(b)
    check.that(set(one) == set(two), "other files: %s", sorted(set(one) ^ set(two)))
    for rel in set(one) & set(two):
        check.that(content(rel, one[rel]) == content(rel, two[rel]), "%s differs", rel)
        check.count("files")
    return check.finish()


if __name__ == "__main__":
    common.run(main, "A", "B")
