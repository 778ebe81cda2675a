#include "xml_walk.h"

#include "fileservice/s3/xml.h"

#include <expat.h>
#include <limits.h>
#include <string.h>

#include "fileservice/base/banned.h"

struct walk {
    XML_Parser parser;
    const struct xml_walker *walker;
    unsigned depth;
    enum err err;
};

/* expat may call once more after it was stopped: the end of <a/>. */
static void keep(struct walk *w, enum err e) {
    if (w->err != ERR_OK || e == ERR_OK)
        return;
    w->err = e == ERR_NO_MEMORY ? e : ERR_UPSTREAM;
    XML_StopParser(w->parser, XML_FALSE);
}

/* With or without a namespace prefix. */
static const char *local_name(const char *name) {
    const char *colon = strrchr(name, ':');
    return colon == NULL ? name : colon + 1;
}

static void on_start(void *context, const XML_Char *name, const XML_Char **attributes) {
    struct walk *w = context;
    (void)attributes;
    if (++w->depth > S3_XML_DEPTH_MAX)
        keep(w, ERR_UPSTREAM);
    if (w->err == ERR_OK)
        keep(w, w->walker->on_open(w->walker->context, w->depth, local_name(name)));
}

static void on_end(void *context, const XML_Char *name) {
    struct walk *w = context;
    if (w->err == ERR_OK)
        keep(w, w->walker->on_close(w->walker->context, w->depth, local_name(name)));
    w->depth--;
}

static void on_text(void *context, const XML_Char *text, int length) {
    struct walk *w = context;
    if (w->err == ERR_OK)
        keep(w, w->walker->on_text(w->walker->context, (struct span){text, (size_t)length}));
}

static void on_doctype(void *context, const XML_Char *name, const XML_Char *system_id,
                       const XML_Char *public_id, int has_internal_subset) {
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    keep(context, ERR_UPSTREAM);
}

enum err xml_walk(struct span document, size_t max_bytes, const struct xml_walker *walker) {
    struct walk w = {.walker = walker};
    /* The white space of a Complete comes before the XML declaration, where XML allows none. */
    document = span_trim(document);
    if (document.n == 0 || document.n > max_bytes || document.n > INT_MAX)
        return ERR_UPSTREAM;
    w.parser = XML_ParserCreate(NULL);
    if (w.parser == NULL)
        return ERR_NO_MEMORY;
    XML_SetUserData(w.parser, &w);
    XML_SetElementHandler(w.parser, on_start, on_end);
    XML_SetCharacterDataHandler(w.parser, on_text);
    XML_SetStartDoctypeDeclHandler(w.parser, on_doctype);
    enum XML_Status status = XML_Parse(w.parser, document.p, (int)document.n, XML_TRUE);
    bool no_memory = XML_GetErrorCode(w.parser) == XML_ERROR_NO_MEMORY;
    XML_ParserFree(w.parser);
    if (w.err != ERR_OK)
        return w.err;
    if (status == XML_STATUS_OK)
        return ERR_OK;
    return no_memory ? ERR_NO_MEMORY : ERR_UPSTREAM;
}
