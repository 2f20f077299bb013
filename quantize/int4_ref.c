/* quantize/int4_ref.c - the references, and the tables of variants. */
#include "quantize/int4_functions.h"

INT4_FUNCTIONS(ref)

#if defined(__x86_64__)
#define VECTORS(op)                                                                                \
    { "avx2", RC_CPU_AVX2, rc_##op##_avx2 }, { "avx512", RC_CPU_AVX512, rc_##op##_avx512 },
#else
#define VECTORS(op)
#endif
#define TABLE(op)                                                                                  \
    const rc_##op##_impl rc_##op##_impls[] = { { "ref", 0, rc_##op##_ref }, VECTORS(op){ 0 } };    \
    RC_CPU_DEFINE_BEST(op)

TABLE(int4_row)
TABLE(int4_feedback)
TABLE(awq_losses)
