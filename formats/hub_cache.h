/* formats/hub_cache.h - a folder that keeps what came over the network, block by block.
 *
 *     DIR/OWNER/VERSION/NAME.partial   the file, with holes where nothing was fetched yet
 *     DIR/OWNER/VERSION/NAME           the same, whole, and of the content that was stated
 *     DIR/OWNER/VERSION/NAME.blocks    which blocks are there, with the sum of each
 *
 * OWNER and VERSION say what the source is (a host and a repository; a commit). A block is there
 * when its sum is, which is written after its bytes; the sum is compared at each read, so that a
 * block that a power cut or a disk has spoilt is merely fetched again. Runs share a folder: a
 * file that is not whole belongs to the run that locked it, others read past the cache. */
#ifndef RC_FORMATS_HUB_CACHE_H
#define RC_FORMATS_HUB_CACHE_H

#include "formats/base/log.h"
#include "formats/base/mem.h"
#include "formats/source.h"

#define RC_CACHE_BLOCK ((size_t)1 << 20) /* bytes */

/** Bytes from where they come from; as rc_source_read(). */
typedef rc_code rc_hub_fetch(void *ctx, size_t file, uint64_t off, void *buf, size_t nbytes,
                             rc_err *err);

typedef struct rc_hub_cache rc_hub_cache;

/** Keep files of `src` (its list is whole and sorted; borrowed) in folder `path`, which is made
 *  if it is not there, its parent is not. `owner` and `version` may be any text that is not empty. `limit`: bytes of
 *  data that the whole folder may hold; 0: as the disk allows.
 *    RC_E_CANTCREATE  a file is in the way, no parent
 *    RC_E_DENIED      it cannot be written
 *    RC_E_CONFIG      its file system cannot lock
 *    RC_E_OS, RC_E_NOSPACE, RC_E_IO */
RC_MUST_CHECK
rc_code rc_hub_cache_open(rc_hub_cache **out, const char *path, uint64_t limit, const char *owner,
                          const char *version, const rc_source *src, const rc_log *log, rc_mem *mem,
                          rc_err *err);
void rc_hub_cache_close(rc_hub_cache **cache);

/** Read from the cache; what is not there is fetched in whole blocks, in runs as long as may be,
 *  and kept if there is room. Trouble with the folder is told once to the log and costs nothing
 *  but fetching. Thread-safe.
 *    RC_E_INTEGRITY  the file is whole now, and not what was stated: it is gone from the cache
 *    what `fetch` says; RC_E_OS; RC_E_STOPPED */
RC_MUST_CHECK
rc_code rc_hub_cache_read(rc_hub_cache *cache, size_t file, uint64_t off, void *buf, size_t nbytes,
                          rc_hub_fetch *fetch, void *ctx, rc_err *err);

#endif
