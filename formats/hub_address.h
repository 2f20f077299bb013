/* formats/hub_address.h - addresses of checkpoints that lie elsewhere.
 *
 *     hf://ORG/NAME[@REVISION][/SUBFOLDER]      a repository of a hub, as huggingface_hub has it
 *     hf://ORG/NAME[@REVISION][/...]/FILE.gguf  a file in one (.rcz too)
 *     https://HOST/PATH, https://HOST/PATH/FILE.gguf */
#ifndef RC_FORMATS_HUB_ADDRESS_H
#define RC_FORMATS_HUB_ADDRESS_H

#include "formats/base/http_url.h"

#define RC_HUB_ENDPOINT "https://huggingface.co"

typedef struct rc_hub_address {
    char repo[200];     /* "ORG/NAME" */
    char revision[256]; /* "main" unless it is named */
    char folder[512];   /* "a/b", or "" */
    char file[256];     /* the file that is named, or "" */
} rc_hub_address;

/** Does it begin with hf://? With http:// or https://, in whatever case? */
bool rc_is_hub_address(const char *where);
bool rc_is_web_address(const char *where);

/** RC_E_USAGE: what is wrong with it, and how one looks. */
RC_MUST_CHECK
rc_code rc_hub_address_parse(rc_hub_address *out, const char *where, rc_err *err);

/** Check an address of a folder, a file or a hub (`what` says which in messages): https, or http
 *  of this machine, no user, no password, no query. RC_E_USAGE; nothing of it is shown. */
RC_MUST_CHECK
rc_code rc_web_address_check(const char *url, const char *what, rc_err *err);

/** A name that a source lists as one file: .gguf or .rcz. */
bool rc_names_file(const char *path);

#endif
