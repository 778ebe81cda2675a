/* Walking through an XML document of S3 with expat: DTDs refused, depth and size capped. Private to
 * the room; s3/xml.h and xml_rows.h say what is read out of it. Pure.
 */
#ifndef FILESERVICE_SRC_S3_XML_WALK_H
#define FILESERVICE_SRC_S3_XML_WALK_H

#include "fileservice/base/buf.h"

/* What is met, in the order of the document. Names come without namespace prefix; the root has depth
 * 1; a text may come in several pieces. Anything but ERR_OK ends the walk. */
struct xml_walker {
    enum err (*on_open)(void *context, unsigned depth, const char *name);
    enum err (*on_text)(void *context, struct span text);
    enum err (*on_close)(void *context, unsigned depth, const char *name);
    void *context;
};

/* Walks through a whole document; white space around it is allowed. ERR_UPSTREAM when it is not
 * well-formed, truncated, larger than `max_bytes`, has a DTD, is too deep, or the walker refused;
 * ERR_NO_MEMORY. */
enum err xml_walk(struct span document, size_t max_bytes, const struct xml_walker *walker)
    __attribute__((warn_unused_result));

#endif
