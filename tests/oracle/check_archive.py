"""check_archive.py ARCHIVE.rcz DIR - does the archive hold the folder, by docs/archive.md alone?

zstandard decompresses, xxhash and hashlib check, numpy puts planes together again: nothing of
recast's takes part. Every file must come out equal to the one in DIR, by its bytes.
"""

import hashlib
import os
import struct
import sys

import ml_dtypes
import numpy as np
import xxhash
import zstandard

HEAD, TRAILER, FILE, PIECE = 24, 72, 56, 56


def frame(stored, nbytes):
    out = zstandard.ZstdDecompressor().decompress(stored, max_output_size=nbytes)
    assert len(out) == nbytes, "a frame of %d bytes, want %d" % (len(out), nbytes)
    return out


def nibbles(plane):
    b = np.frombuffer(plane, np.uint8)
    return np.stack([b & 15, b >> 4], axis=1).reshape(-1)


def rungs(planes):
    """Codes without their signs, signs, and the rung of each number that is not zero."""
    codes = nibbles(planes[0])
    exponent = np.repeat(np.frombuffer(planes[1], np.uint8).astype(int), 32)
    code = (codes & 7).astype(int)
    return code, codes >> 3, 2 * exponent - 6 + np.where(code == 1, 0, code)


def join(mode, planes):
    if mode == 0:
        return planes[0]
    if mode == 1:
        e, r = (np.frombuffer(p, np.uint8).astype(np.uint16) for p in planes)
        return ((r >> 7) << 15 | e << 7 | (r & 127)).astype("<u2").tobytes()
    if mode == 2:
        code, sign, rung = rungs(planes)
        bits = np.where(code == 0, 0, rung << 6) | sign.astype(int) << 15
        return bits.astype("<u2").tobytes()
    if mode == 3:
        e, r = nibbles(planes[0]), nibbles(planes[1])
        return ((r >> 3) << 7 | e << 3 | (r & 7)).astype(np.uint8).tobytes()
    if mode == 4:
        code, sign, rung = rungs(planes)
        value = np.where(rung % 2, 1.5, 1.0) * 2.0 ** (rung // 2 - 9)
        value = np.where(code == 0, 0.0, value).astype(np.float32)
        stored = value.astype(ml_dtypes.float8_e4m3fn)
        assert (stored.astype(np.float32) == value).all(), "a value that E4M3 has not"
        return (stored.view(np.uint8) | sign << 7).astype(np.uint8).tobytes()
    if mode == 5:
        return np.frombuffer(planes[0], np.uint8).reshape(4, -1).T.tobytes()
    raise AssertionError("mode %d" % mode)


def table_of(a):
    assert a[:20] == struct.pack("<II8sI", 0x184D2A50, 16, b"recastz1", 1), "the head"
    frames, descriptor, magic = struct.unpack("<IBI", a[-9:])
    assert magic == 0x8F92EAB1 and descriptor == 0, "the seek table's footer"
    seek = len(a) - 9 - 8 * frames - 8
    assert struct.unpack("<II", a[seek : seek + 8]) == (0x184D2A5E, 8 * frames + 9), "its head"
    entries = np.frombuffer(a, "<u4", 2 * frames, seek + 8).reshape(-1, 2)
    assert entries[:, 0].sum() == seek, "its frames do not fill the archive"
    t = a[seek - TRAILER : seek]
    assert t[:20] == struct.pack("<II8sI", 0x184D2A51, 64, b"recastzt", 1), "the trailer"
    at, stored, nbytes = struct.unpack("<QQQ", t[24:48])
    assert xxhash.xxh3_64_intdigest(t[:64]) == struct.unpack("<Q", t[64:])[0], "its sum"
    assert xxhash.xxh3_128_digest(a[at : at + stored]) == t[48:64], "the table's digest"
    assert at + stored == seek - TRAILER, "the table's place"
    return at, entries, frame(a[at : at + stored], nbytes)


def check(archive, folder):
    with open(archive, "rb") as f:
        a = f.read()
    end, entries, t = table_of(a)
    assert t[:8] == b"contents"
    nfiles, npieces, nnames = struct.unpack("<QQQ", t[8:32])
    assert len(t) == 32 + FILE * nfiles + nnames + PIECE * npieces, "the table's size"
    names = t[32 + FILE * nfiles :][:nnames].split(b"\0")[:-1]
    pieces, at, k = t[32 + FILE * nfiles + nnames :], HEAD, 1  # of the seek table's entries
    modes, p = set(), 0
    for i in range(nfiles):
        size, count, name_len = struct.unpack("<QQI", t[32 + FILE * i :][:20])
        assert len(names[i]) == name_len
        out = []
        for _ in range(count):
            b = pieces[PIECE * p : PIECE * (p + 1)]
            n, mode, nplanes = struct.unpack("<IBB", b[:6])
            stored, plain = struct.unpack("<3I", b[8:20]), struct.unpack("<3I", b[20:32])
            whole = a[at : at + sum(stored)]
            assert xxhash.xxh3_64_intdigest(whole) == struct.unpack("<Q", b[32:40])[0], "a sum"
            planes = []
            for j in range(nplanes):
                assert tuple(entries[k]) == (stored[j], plain[j]), "the seek table, frame %d" % k
                planes.append(frame(a[at : at + stored[j]], plain[j]))
                at += stored[j]
                k += 1
            out.append(join(mode, planes))
            assert len(out[-1]) == n and xxhash.xxh3_128_digest(out[-1]) == b[40:], "a piece"
            modes.add(mode)
            p += 1
        out = b"".join(out)
        assert len(out) == size
        assert hashlib.sha256(out).digest() == t[32 + FILE * i + 24 :][:32], "a file's SHA-256"
        with open(os.path.join(folder, names[i].decode()), "rb") as f:
            assert f.read() == out, "%s differs" % names[i].decode()
    assert p == npieces and at == end
    there = sum(len(files) for _, _, files in os.walk(folder))
    assert there == nfiles, "%d files in the folder, %d in the archive" % (there, nfiles)
    print("%s: %d files, %d pieces, modes %s: equal" % (archive, nfiles, npieces, sorted(modes)))


if __name__ == "__main__":
    check(sys.argv[1], sys.argv[2])
