/* tests/cli/fault.c - make a system call fail, or kill the program there.
 *
 * A preload library. From the environment:
 *   RC_FAULT_OP    pwrite write fsync rename fallocate ftruncate open pread unlink any
 *   RC_FAULT_PATH  only calls on files whose path contains this (default: all)
 *   RC_FAULT_AT    the n-th such call, counted from 1 (0: every one)
 *   RC_FAULT_DO    ENOSPC EIO EDQUOT EINTR  fail with it (EINTR: only when AT says so)
 *                  KILL   end the process there, before the call
 *                  SHORT  move one byte (reads and writes)
 *                  SLEEP  wait two seconds, then go on
 *                  NAP    wait 50 ms, then go on
 *   RC_FAULT_COUNT  file that receives the number of matching calls at exit */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static long seen;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("RC_FAULT_COUNT");
    FILE *f = path ? fopen(path, "w") : NULL;

    if (f) {
        fprintf(f, "%ld\n", seen);
        fclose(f);
    }
}

static int matches(const char *op, int fd, const char *name)
{
    const char *want = getenv("RC_FAULT_OP"), *path = getenv("RC_FAULT_PATH");
    char link[64], at[4096] = "", full[8192];
    ssize_t n;

    if (!want || (strcmp(want, op) != 0 && strcmp(want, "any") != 0))
        return 0;
    if (!path)
        return 1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, at, sizeof at - 1);
    at[n > 0 ? n : 0] = '\0';
    snprintf(full, sizeof full, "%s/%s", at, name ? name : "");
    return strstr(full, path) != NULL;
}

/* 0: go on; 1: move one byte; else -1 with errno set. */
static int fault(const char *op, int fd, const char *name)
{
    static const struct {
        const char *name;
        int value;
    } errors[] = { { "ENOSPC", ENOSPC }, { "EIO", EIO }, { "EDQUOT", EDQUOT }, { "EINTR", EINTR } };
    const char *what = getenv("RC_FAULT_DO"), *when = getenv("RC_FAULT_AT");
    long n;

    if (!what && !getenv("RC_FAULT_COUNT"))
        return 0;
    if (!matches(op, fd, name))
        return 0;
    pthread_mutex_lock(&lock);
    n = ++seen;
    pthread_mutex_unlock(&lock);
    if (!what || !when || (atol(when) && atol(when) != n))
        return 0;
    if (strcmp(what, "KILL") == 0)
        raise(SIGKILL);
    if (strcmp(what, "SHORT") == 0)
        return 1;
    if (strcmp(what, "SLEEP") == 0) {
        nanosleep(&(struct timespec){ .tv_sec = 2 }, NULL);
        return 0;
    }
    if (strcmp(what, "NAP") == 0) {
        nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
        return 0;
    }
    for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(what, errors[i].name) == 0)
            errno = errors[i].value;
    return -1;
}

#define MOVES(ret, fn, op, args, call, nbytes)                                                     \
    ret fn args                                                                                    \
    {                                                                                              \
        static ret(*real) args;                                                                    \
        const int f = fault(op, fd, NULL);                                                         \
        if (!real)                                                                                 \
            real = (ret(*) args)next(#fn);                                                         \
        if (f < 0)                                                                                 \
            return -1;                                                                             \
        if (f > 0 && nbytes > 1)                                                                   \
            nbytes = 1;                                                                            \
        return real call;                                                                          \
    }

MOVES(ssize_t, pwrite64, "pwrite", (int fd, const void *p, size_t n, off64_t off), (fd, p, n, off),
      n)
MOVES(ssize_t, pwrite, "pwrite", (int fd, const void *p, size_t n, off_t off), (fd, p, n, off), n)
MOVES(ssize_t, write, "write", (int fd, const void *p, size_t n), (fd, p, n), n)
MOVES(ssize_t, pread64, "pread", (int fd, void *p, size_t n, off64_t off), (fd, p, n, off), n)
MOVES(ssize_t, pread, "pread", (int fd, void *p, size_t n, off_t off), (fd, p, n, off), n)
MOVES(ssize_t, __pread64_chk, "pread", (int fd, void *p, size_t n, off64_t off, size_t room),
      (fd, p, n, off, room), n)

#define FAILS(fn, op, fd, name, args, call)                                                        \
    int fn args                                                                                    \
    {                                                                                              \
        static int(*real) args;                                                                    \
        if (!real)                                                                                 \
            real = (int(*) args)next(#fn);                                                         \
        return fault(op, fd, name) < 0 ? -1 : real call;                                           \
    }

FAILS(fsync, "fsync", fd, NULL, (int fd), (fd))
FAILS(fallocate64, "fallocate", fd, NULL, (int fd, int m, off64_t o, off64_t n), (fd, m, o, n))
FAILS(fallocate, "fallocate", fd, NULL, (int fd, int m, off_t o, off_t n), (fd, m, o, n))
FAILS(ftruncate64, "ftruncate", fd, NULL, (int fd, off64_t n), (fd, n))
FAILS(ftruncate, "ftruncate", fd, NULL, (int fd, off_t n), (fd, n))
FAILS(unlinkat, "unlink", dir, name, (int dir, const char *name, int flags), (dir, name, flags))
FAILS(renameat, "rename", to_dir, to, (int from_dir, const char *from, int to_dir, const char *to),
      (from_dir, from, to_dir, to))

#define OPENS(fn)                                                                                  \
    int fn(int dir, const char *name, int flags, ...)                                              \
    {                                                                                              \
        static int (*real)(int, const char *, int, ...);                                           \
        va_list ap;                                                                                \
        mode_t mode;                                                                               \
        va_start(ap, flags);                                                                       \
        mode = va_arg(ap, mode_t);                                                                 \
        va_end(ap);                                                                                \
        if (!real)                                                                                 \
            real = (int (*)(int, const char *, int, ...))next(#fn);                                \
        return fault("open", dir, name) < 0 ? -1 : real(dir, name, flags, mode);                   \
    }

OPENS(openat)
OPENS(openat64)
