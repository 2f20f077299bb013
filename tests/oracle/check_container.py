"""check_container.py DIR... - are these files what safetensors readers take?

The proof is done by two functions of the safetensors package, whose parser and
validation are the official ones: safe_open() opens every shard and names dtype and
shape of every tensor, and gives the arrays of the dtypes that numpy has (F32, I64, I8);
deserialize() gives the bytes of the others (BF16, F8_E4M3, F8_E8M0), which its numpy
backend cannot make into arrays. Both must agree with the offsets that the other checks
read themselves.
"""

import numpy as np
import safetensors

import common

WHOLE_FILE = 512 << 20  # deserialize() holds a file in memory: larger ones are only opened


def check_shard(check, shard):
    check.that(shard.header_len % 8 == 0, "%s: header of %d bytes", shard.name, shard.header_len)
    check.that(shard.metadata == {"format": "pt"}, "%s: metadata %s", shard.name, shard.metadata)
    with safetensors.safe_open(shard.path, framework="np") as reader:
        check.that(
            reader.metadata() == {"format": "pt"}, "%s: safetensors sees no format", shard.name
        )
        check.that(set(reader.keys()) == set(shard.tensors), "%s: other names in it", shard.name)
        for name in reader.keys():
            t, piece = shard.tensors[name], reader.get_slice(name)
            check.that(piece.get_dtype() == t.dtype, "%s: dtype %s", name, piece.get_dtype())
            check.that(list(piece.get_shape()) == t.shape, "%s: shape", name)
            check.that(
                t.begin % common.ELEMENT_BYTES[t.dtype] == 0, "%s: begins at %d", name, t.begin
            )
            check.that(
                t.nbytes == common.ELEMENT_BYTES[t.dtype] * int(np.prod(t.shape)), "%s: size", name
            )
            if t.dtype in ("F32", "I64", "I8"):
                array = reader.get_tensor(name)
                check.that(
                    list(array.shape) == t.shape and array.tobytes() == t.raw().tobytes(),
                    "%s: the array of safe_open() differs",
                    name,
                )
                check.count("arrays")
    if len(shard.map) > WHOLE_FILE:
        return
    for name, entry in safetensors.deserialize(shard.map[:]):
        t = shard.tensors[name]
        check.that(
            entry["dtype"] == t.dtype
            and list(entry["shape"]) == t.shape
            and bytes(entry["data"]) == t.raw().tobytes(),
            "%s: the bytes of deserialize() differ",
            name,
        )
        check.count("byte strings")


def check_index(check, ckpt):
    where = ckpt.index["weight_map"]
    check.that(set(where) == set(ckpt.tensors), "the index names other tensors")
    check.that(
        sum(len(s.tensors) for s in ckpt.shards) == len(ckpt.tensors), "a tensor is there twice"
    )
    for name, t in ckpt.tensors.items():
        check.that(where.get(name) == t.shard.name, "%s: index says %s", name, where.get(name))
    total = sum(t.nbytes for t in ckpt.tensors.values())
    stated = ckpt.index["metadata"]["total_size"]
    check.that(stated == total, "total_size %s, sum %d", stated, total)


def main(*paths):
    bad = 0
    for path in paths:
        ckpt = common.Checkpoint(path)
        check = common.Check("container %s" % path)
        check.count("shards", len(ckpt.shards))
        check.count("tensors", len(ckpt.tensors))
        for shard in ckpt.shards:
            check_shard(check, shard)
        check_index(check, ckpt)
        bad |= check.finish()
    return bad


if __name__ == "__main__":
    common.run(main, "DIR...")
