"""check_judge.py DATA - the judge of the forward pass tells right from wrong.

Vectors are given to it as answers: as they are, with small errors, and those of one arithmetic
in the place of the other.
"""

import numpy as np

import common
import judge


class Silent(common.Check):
    def that(self, holds, message, *args):
        self.bad += not holds
        return bool(holds)


def accepts(which, mode, want, got):
    check = Silent("")
    judge.judge(check, which, mode, want, got)
    return check.bad == 0


def changed(vectors, name, change):
    out = dict(vectors)
    out[name] = change(vectors[name].copy())
    return out


def swap_one(x):
    """Another expert, or another block, for one token."""
    x[-1, -1, -1] += 1
    return x


def louder(part):
    return lambda x: (x.astype(np.float32) * (1 + part)).astype(x.dtype)


def main(data):
    check = common.Check("judge")
    for which in ("choice", "smooth"):
        f64, native = (judge.vectors(data, which, mode) for mode in ("f64", "native"))
        check.that(accepts(which, "f64", f64, f64), "%s: refuses the vectors themselves", which)
        check.that(accepts(which, "native", native, native), "%s: refuses native", which)
        wrong = {
            "other arithmetic": native,
            "a logit": changed(f64, "logits", louder(2e-5)),
            "a step": changed(f64, "step_logits.126", louder(2e-5)),
            "streams": changed(f64, "hidden.2", louder(2e-5)),
            "an expert": changed(f64, "experts", swap_one),
            "nothing": {},
        }
        if "blocks" in f64:
            wrong["a block"] = changed(f64, "blocks", swap_one)
        for what, got in wrong.items():
            check.that(not accepts(which, "f64", f64, got), "%s: accepts %s", which, what)
            check.count("wrong answers refused")
        rolled = changed(native, "logits", lambda x: np.roll(x, 1, axis=0))
        check.that(not accepts(which, "native", native, rolled), "%s: accepts other rows", which)
    one_max = judge.vectors(data, "smooth", "native-one-max")
    check.that(accepts("smooth", "native", native, one_max), "refuses one maximum for a running one")
    for got in (native, f64):
        check.that(not accepts("smooth", "native-one-max", one_max, got), "accepts others for it")
    check.that(not accepts("smooth", "native", native, f64), "accepts f64 for native")
    return check.finish()


if __name__ == "__main__":
    common.run(main, "DATA")
