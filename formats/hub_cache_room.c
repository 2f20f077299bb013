/* formats/hub_cache_room.c - see hub_cache_room.h.
 *
 * A folder may be any that the user names: nothing is counted or removed but files whose
 * NAME.blocks says that they are ours. */
#define _GNU_SOURCE
#include "formats/hub_cache_room.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/hub_cache_sums.h"

/* A file: when it was used, and where it is. Ordered by both, so that none is met twice. */
typedef struct place {
    uint64_t used_ns;
    char owner[256], version[256], name[256];
} place;

typedef struct search {
    place after, oldest; /* the first beyond `after` */
    bool found;
    uint64_t nbytes; /* of all */
} search;

static bool is_before(const place *a, const place *b)
{
    int c;

    if (a->used_ns != b->used_ns)
        return a->used_ns < b->used_ns;
    c = strcmp(a->owner, b->owner);
    if (c == 0)
        c = strcmp(a->version, b->version);
    return c ? c < 0 : strcmp(a->name, b->name) < 0;
}

void rc_cache_remove(int folder, const char *name)
{
    char full[RC_CACHE_NAME + 16];

    unlinkat(folder, name, 0);
    snprintf(full, sizeof full, "%s" RC_CACHE_PART, name);
    unlinkat(folder, full, 0);
    snprintf(full, sizeof full, "%s" RC_CACHE_SUMS, name);
    unlinkat(folder, full, 0);
}

/* Length of NAME in "NAME.blocks"; 0 for anything else. */
static size_t stem(const char *entry)
{
    const size_t n = strlen(entry), tail = strlen(RC_CACHE_SUMS);

    return n > tail && n - tail <= RC_CACHE_NAME && strcmp(entry + n - tail, RC_CACHE_SUMS) == 0
               ? n - tail
               : 0;
}

static void consider(search *s, int folder, place *at, const char *entry)
{
    const int fd = openat(folder, entry, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    uint64_t nbytes;
    struct stat st;

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && rc_cache_sums_extent(fd, &nbytes)) {
        s->nbytes += nbytes;
        at->used_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
        snprintf(at->name, sizeof at->name, "%.*s", (int)stem(entry), entry);
        if (is_before(&s->after, at) && (!s->found || is_before(at, &s->oldest))) {
            s->oldest = *at;
            s->found = true;
        }
    }
    close(fd);
}

static DIR *open_folder(int parent, const char *name)
{
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

    if (!d && fd >= 0)
        close(fd);
    return d;
}

static void look_into(search *s, int parent, const char *name, unsigned depth, place *at)
{
    DIR *d = open_folder(parent, name);
    const struct dirent *e;

    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        if (depth == 2) {
            if (stem(e->d_name))
                consider(s, dirfd(d), at, e->d_name);
            continue;
        }
        snprintf(depth == 0 ? at->owner : at->version, sizeof at->owner, "%s", e->d_name);
        look_into(s, dirfd(d), e->d_name, depth + 1, at);
    }
    if (d)
        closedir(d);
}

/* Unless somebody has it. */
static void drop(const rc_dir *root, const place *at)
{
    char folder[sizeof at->owner + sizeof at->version], sums[sizeof at->name + 16];
    int dir, fd;

    snprintf(folder, sizeof folder, "%s/%s", at->owner, at->version);
    dir = openat(root->fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return;
    snprintf(sums, sizeof sums, "%s" RC_CACHE_SUMS, at->name);
    fd = openat(dir, sums, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        rc_cache_remove(dir, at->name);
    if (fd >= 0)
        close(fd);
    close(dir);
}

void rc_cache_make_room(const rc_dir *root, uint64_t most, uint64_t *left)
{
    search s = { 0 };

    for (;;) {
        const place before = s.found ? s.oldest : (place){ 0 };
        place at = { 0 };

        s = (search){ .after = before };
        look_into(&s, root->fd, ".", 0, &at);
        *left = s.nbytes;
        if (s.nbytes <= most || !s.found)
            return;
        drop(root, &s.oldest);
    }
}
