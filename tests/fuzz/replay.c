/* tests/fuzz/replay.c - main() for a fuzz target without a fuzzer: each file
 * named on the command line, and each file in a folder named there, once. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long ran;

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL, *exact;
    size_t len = 0, cap = 0;

    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    do {
        uint8_t *grown = realloc(data, cap += 65536);

        if (!grown) {
            free(data);
            fclose(f);
            return 1;
        }
        data = grown;
        len += fread(data + len, 1, cap - len, f);
    } while (len == cap);
    if (ferror(f)) {
        fprintf(stderr, "%s: cannot be read\n", path);
        free(data);
        fclose(f);
        return 1;
    }
    fclose(f);
    exact = realloc(data, len ? len : 1); /* a sanitizer then sees the first byte too far */
    LLVMFuzzerTestOneInput(exact ? exact : data, len);
    free(exact ? exact : data);
    ran++;
    return 0;
}

static int replay(const char *path)
{
    DIR *dir = opendir(path);
    int bad = 0;

    if (!dir)
        return replay_file(path);
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        char name[4096];

        if (e->d_name[0] == '.')
            continue;
        if ((size_t)snprintf(name, sizeof name, "%s/%s", path, e->d_name) < sizeof name)
            bad |= replay_file(name);
    }
    closedir(dir);
    return bad;
}

int main(int argc, char **argv)
{
    int bad = 0;

    for (int i = 1; i < argc; i++)
        bad |= replay(argv[i]);
    printf("%lu inputs\n", ran);
    return bad || ran == 0;
}
