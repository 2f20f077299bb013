/* formats/archive_planes.c - see archive_planes.h: which variant. */
#include "formats/archive_planes.h"

bool rc_planes_runs(const rc_planes_impl *impl)
{
#if defined(__x86_64__)
    if (impl == &rc_planes_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512vbmi");
    if (impl == &rc_planes_avx2)
        return __builtin_cpu_supports("avx2");
#endif
    return impl == &rc_planes_ref;
}

const rc_planes_impl *rc_planes_best(void)
{
    if (rc_planes_runs(&rc_planes_avx512))
        return &rc_planes_avx512;
    return rc_planes_runs(&rc_planes_avx2) ? &rc_planes_avx2 : &rc_planes_ref;
}
