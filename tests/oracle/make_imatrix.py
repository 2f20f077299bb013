"""make_imatrix.py FILE.gguf OUT - an importance matrix for its experts, in GGUF, by gguf-py.

Log-normal importance; no token reaches the last expert of the last stack.
"""

import gguf
import numpy as np

import common


def main(model, out):
    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(out, "")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["made up"])
    writer.add_uint32("imatrix.chunk_count", 9)
    writer.add_uint32("imatrix.chunk_size", 512)
    names = [(t.name, t.shape) for t in gguf.GGUFReader(model).tensors if "_exps." in t.name]
    for name, (cols, _, experts) in names:
        counts = rng.integers(1, 90, size=(int(experts), 1)).astype(np.float32)
        sums = (rng.lognormal(0, 1, size=(int(experts), int(cols))) * counts).astype(np.float32)
        if name == names[-1][0]:
            counts[-1] = sums[-1] = 0
        writer.add_tensor(name + ".in_sum2", sums)
        writer.add_tensor(name + ".counts", counts)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return 0


common.run(main, "MODEL", "OUT")
