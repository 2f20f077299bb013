/* tests/bench/bench.h - timing: ratios to what this machine can copy.
 *
 * Buffers are touched before anything is timed, every figure is the median of
 * several passes, and the copy limit is measured in the same run, by one memcpy
 * call a thread on as many bytes as glibc copies past the cache. The column `cpu` is
 * processor time over wall time: well below 1.00 the machine was busy with
 * something else, and the row says nothing. */
#ifndef RC_TESTS_BENCH_H
#define RC_TESTS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_MAX_THREADS 2u

/** Work of one thread of `threads`. */
typedef void bench_fn(void *arg, unsigned thread, unsigned threads);

/** Median seconds of a pass. */
double bench_seconds(bench_fn *fn, void *arg, unsigned threads);
/** Copy payload, bytes a second, with this many threads. */
double bench_copy_limit(unsigned threads);
/** Touched, page-aligned memory; random bytes. */
void *bench_buffer(size_t nbytes);
/** Processor time over wall time of the last bench_seconds(). */
double bench_cpu_share(void);
/** Print a row: `elements` and bytes moved (read + written) in one pass. 0 bytes:
 *  nothing but cache is touched, no ratio. */
void bench_row(const char *kernel, const char *variant, unsigned threads, double seconds,
               double elements, double bytes);
/** Was this kernel asked for? */
bool bench_wanted(const char *kernel);

void bench_kernels(void);
void bench_quantizers(void);
/** Rows to 4-bit integers, error feedback, losses of scalings: elements are weights. */
void bench_int4(void);
void bench_vectors(void);
/** Products, in GFLOP/s of one processor and as ratios to BLIS. Prints a header of its own. */
void bench_products(void);
/** Prints its own table: what counts is the ratio to reading. */
void bench_rows(void);

/** Pieces of an archive: size left and rates, beside zstd. With a folder: write the bytes there
 * instead, a file NAME.bin each, for other programs. */
int bench_archive(const char *folder);

/** Matrices of a checkpoint of Flash's size times tokens, decoding included, against BLIS. */
int bench_linear(const char *folder);

/** Seconds that the disk alone needs to read READ bytes of a checkpoint folder, to write
 *  WRITE bytes into a file in `folder`, and for both at once; prints them. */
int bench_disk(const char *folder, const char *read_from, uint64_t read_bytes,
               uint64_t write_bytes);
/** The experts of checkpoint `src` (on a tmpfs) to FP8, everything but the write. */
int bench_sink(const char *src);

#endif
