"""ZipNN on the bytes that `bench archive-data FOLDER` wrote: size left and rates of one processor.

python3 peer_zipnn.py FOLDER      needs pip's zipnn
"""

import statistics
import sys
import time

from zipnn import ZipNN

TENSORS = {
    "fp4-codes": "float8_e4m3fn",
    "fp8-from-fp4": "float8_e4m3fn",
    "bf16-from-fp4": "bfloat16",
    "fp8": "float8_e4m3fn",
    "bf16-from-fp8": "bfloat16",
    "bf16": "bfloat16",
    "f32": "float32",
}
PASSES = 7


def measure(data, dtype):
    codec = ZipNN(bytearray_dtype=dtype, input_format="byte", threads=1)
    packing, unpacking = [], []
    for _ in range(PASSES):
        source = bytearray(data)  # it is written over
        begin = time.process_time()
        packed = codec.compress(source)
        middle = time.process_time()
        back = codec.decompress(packed)
        end = time.process_time()
        packing.append(middle - begin)
        unpacking.append(end - middle)
        if bytes(back) != data:
            sys.exit("ZipNN did not restore the bytes")
    rates = (len(data) / statistics.median(t) / 1e6 for t in (packing, unpacking))
    return len(packed) / len(data), *rates


def main(folder):
    for name, dtype in TENSORS.items():
        with open(f"{folder}/{name}.bin", "rb") as f:
            left, packing, unpacking = measure(f.read(), dtype)
        print(f"{name:16} {'ZipNN':9} {left:9.3f} {packing:9.0f} {unpacking:9.0f}")


main(sys.argv[1])
