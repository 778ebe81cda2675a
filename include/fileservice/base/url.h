/* Percent-encoding and endpoint URLs. Pure. */
#ifndef FILESERVICE_BASE_URL_H
#define FILESERVICE_BASE_URL_H

#include "fileservice/base/buf.h"

#define URL_HOST_MAX_BYTES 255 /* a DNS name; RFC 1035 §2.3.4 */

/* Appends `s` with every byte but A-Z a-z 0-9 - . _ ~ as %XX in upper case (AWS SigV4's rule).
 * '/' stays when `keep_slash`. */
void url_encode(struct buf *b, struct span s, bool keep_slash);

/* Appends `s` with each %XX replaced by its byte, once. '+' is a plus. ERR_BAD_INPUT when a '%' is
 * not followed by two hex digits; else buf_error(b). */
enum err url_decode(struct buf *b, struct span s) __attribute__((warn_unused_result));

/* The same where '+' is a blank: queries as browsers write them, and S3's encoding-type=url. */
enum err url_decode_form(struct buf *b, struct span s) __attribute__((warn_unused_result));

/* Where a service lives: scheme, host and port, nothing else. A value. */
struct url_endpoint {
    bool tls;
    uint16_t port;                     /* never 0 */
    char host[URL_HOST_MAX_BYTES + 3]; /* lower case; an IPv6 address keeps its brackets */
};

/* Reads "http://host[:port][/]" or "https://…". ERR_BAD_INPUT for another scheme, user info, a path,
 * a query, a bad port or an empty or over-long host. `*ret` is untouched on failure. */
enum err url_parse_endpoint(struct span text, struct url_endpoint *ret)
    __attribute__((warn_unused_result));

/* Appends what the Host header says: the port only when it is not the scheme's own. */
void url_append_host(struct buf *b, const struct url_endpoint *e);

/* Appends scheme "://" host[:port]. */
void url_append_origin(struct buf *b, const struct url_endpoint *e);

#endif
