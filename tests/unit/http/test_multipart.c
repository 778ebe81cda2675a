/* The form parser: the same events for every way to cut a form and every way to take its data, and
 * one clear refusal for every broken one. */
#include "fileservice/http/multipart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TRACE_MAX_BYTES 1048576
#define BYTES(literal)                                                                             \
    { literal, sizeof(literal) - 1 }
#define OPEN "--bound\r\n"
#define HEAD(name) "Content-Disposition: form-data; name=\"" name "\"\r\n\r\n"
#define FILE_HEAD(more) "Content-Disposition: form-data; name=\"f\"; " more "\r\n\r\n"
#define NEXT "\r\n--bound\r\n"
#define END "\r\n--bound--\r\n"
#define A_FIELD OPEN HEAD("a") "x"

/* A receiver that writes down what it is told. */
struct receiver {
    struct buf trace;
    uint64_t random;
    size_t most; /* bytes that one call takes at most, by chance; SIZE_MAX: always all */
    size_t data_bytes;
    bool held; /* it took fewer: it must be left alone until the next feed */
    bool in_part;
};

static uint64_t draw(uint64_t *random, uint64_t below) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (*random >> 33) % below;
}

static enum err on_part(void *context, const struct multipart_part *part, struct error *error) {
    struct receiver *r = context;
    (void)error;
    assert_false(r->held);
    assert_false(r->in_part);
    r->in_part = true;
    r->data_bytes = 0;
    buf_append_byte(&r->trace, '[');
    buf_append(&r->trace, part->name);
    buf_append_byte(&r->trace, ']');
    if (part->has_file_name) {
        buf_append_byte(&r->trace, '(');
        buf_append(&r->trace, part->file_name);
        buf_append_byte(&r->trace, ')');
    }
    buf_append(&r->trace, part->content_type);
    buf_append_byte(&r->trace, '{');
    return ERR_OK;
}

static enum err on_data(void *context, struct span data, size_t *taken, struct error *error) {
    struct receiver *r = context;
    (void)error;
    assert_false(r->held);
    assert_true(r->in_part);
    assert_true(data.n > 0);
    *taken = data.n;
    if (r->most != SIZE_MAX) {
        size_t n = (size_t)draw(&r->random, r->most + 1);
        *taken = n < data.n ? n : data.n;
    }
    r->held = *taken < data.n;
    r->data_bytes += *taken;
    buf_append(&r->trace, (struct span){data.p, *taken});
    return ERR_OK;
}

static enum err on_part_end(void *context, struct error *error) {
    struct receiver *r = context;
    (void)error;
    assert_false(r->held);
    assert_true(r->in_part);
    r->in_part = false;
    buf_append_format(&r->trace, "}%zu ", r->data_bytes);
    return ERR_OK;
}

struct rig {
    struct receiver receiver;
    struct multipart *parser;
};

static void rig_open(struct rig *g, struct span boundary, size_t most) {
    struct multipart_events events = {on_part, on_data, on_part_end, &g->receiver};
    memset(g, 0, sizeof *g);
    g->receiver.most = most;
    g->receiver.random = 7;
    buf_init(&g->receiver.trace, TRACE_MAX_BYTES);
    g->parser = multipart_new(boundary, &events);
    assert_non_null(g->parser);
}

static void rig_close(struct rig *g) {
    multipart_free(g->parser);
    buf_done(&g->receiver.trace);
}

/* Feeds a copy that ends where its memory ends, again and again until all of it is taken. */
static enum err rig_feed(struct rig *g, struct span piece) {
    char *copy = malloc(piece.n + 1);
    assert_non_null(copy);
    char *at = copy + 1; /* so that an empty piece is legal, too */
    if (piece.n > 0)
        memcpy(at, piece.p, piece.n);
    struct span rest = {at, piece.n};
    enum err e = ERR_OK;
    while (rest.n > 0 && e == ERR_OK) {
        struct error error = {.err = ERR_OK};
        size_t taken = SIZE_MAX;
        g->receiver.held = false;
        e = multipart_feed(g->parser, rest, &taken, &error);
        if (e == ERR_OK) {
            assert_true(taken <= rest.n);
            assert_true(taken == rest.n || g->receiver.held);
        } else {
            assert_int_equal(error.err, e);
            assert_true(error.message[0] != '\0');
        }
        rest = span_from(rest, taken);
    }
    free(copy);
    return e;
}

static enum err rig_finish(struct rig *g) {
    struct error error = {.err = ERR_OK};
    enum err e = multipart_finish(g->parser, &error);
    assert_int_equal(error.err, e);
    assert_true(e == ERR_OK || error.message[0] != '\0');
    return e;
}

static void check_trace(const struct rig *g, const char *name, struct span want) {
    struct span got = buf_span(&g->receiver.trace);
    assert_int_equal(buf_error(&g->receiver.trace), ERR_OK);
    if (!span_eq(got, want))
        fail_msg("%s: got %.*s, want %.*s", name, (int)got.n, got.n == 0 ? "" : got.p, (int)want.n,
                 want.n == 0 ? "" : want.p);
}

/* How a form is cut: pieces of `first` bytes, then of `then` bytes each. */
static enum err run(struct rig *g, struct span in, size_t first, size_t then) {
    struct span piece = {in.p, first < in.n ? first : in.n};
    enum err e = rig_feed(g, piece);
    for (size_t at = piece.n; at < in.n && e == ERR_OK; at += piece.n) {
        struct span rest = span_from(in, at);
        piece = (struct span){rest.p, then < rest.n ? then : rest.n};
        e = rig_feed(g, piece);
    }
    return e == ERR_OK ? rig_finish(g) : e;
}

static void check(const char *name, struct span in, enum err want_err, struct span want,
                  size_t first, size_t then, size_t most) {
    struct rig g;
    rig_open(&g, SPAN("bound"), most);
    enum err e = run(&g, in, first, then);
    if (e != want_err)
        fail_msg("%s: got %s, want %s (cut at %zu, then %zu, taking %zu)", name, err_name(e),
                 err_name(want_err), first, then, most);
    if (want.p != NULL)
        check_trace(&g, name, want);
    rig_close(&g);
}

/* Every cut in two, byte by byte, and receivers that take 0 to 3 bytes at a time. */
static void check_all_cuts(const char *name, struct span in, enum err err, struct span want) {
    for (size_t at = 0; at <= in.n; at++) {
        check(name, in, err, want, at, SIZE_MAX, SIZE_MAX);
        check(name, in, err, want, at, SIZE_MAX, 1);
        check(name, in, err, want, at, SIZE_MAX, 3);
    }
    for (size_t then = 1; then < 12; then++)
        for (size_t most = 1; most <= 3; most++) {
            check(name, in, err, want, then, then, SIZE_MAX);
            check(name, in, err, want, then, then, most);
        }
}

struct row {
    const char *name;
    struct span in;
    struct span want;
};

static const struct row good[] = {
    {"one field", BYTES(A_FIELD END), BYTES("[a]{x}1 ")},
    {"no part", BYTES("--bound--"), BYTES("")},
    {"no line end at the end", BYTES(A_FIELD "\r\n--bound--"), BYTES("[a]{x}1 ")},
    {"blanks after the end", BYTES(A_FIELD "\r\n--bound-- \t\r\n"), BYTES("[a]{x}1 ")},
    {"an epilogue", BYTES(A_FIELD END "more\r\n" A_FIELD END), BYTES("[a]{x}1 ")},
    {"an empty part", BYTES(OPEN HEAD("a") END), BYTES("[a]{}0 ")},
    {"an empty part that shares its line end", BYTES(OPEN HEAD("a") "--bound--"), BYTES("[a]{}0 ")},
    {"two parts", BYTES(A_FIELD NEXT HEAD("b") "yz" END), BYTES("[a]{x}1 [b]{yz}2 ")},
    {"two empty parts", BYTES(OPEN HEAD("a") OPEN HEAD("b") END), BYTES("[a]{}0 [b]{}0 ")},
    {"a preamble", BYTES("Hello.\r\n" A_FIELD END), BYTES("[a]{x}1 ")},
    {"a preamble of one line end", BYTES("\r\n" A_FIELD END), BYTES("[a]{x}1 ")},
    {"a preamble like a boundary", BYTES("--boun\r\n--boun\r\r\n--\r\n" A_FIELD END),
     BYTES("[a]{x}1 ")},
    {"a boundary inside a line of the preamble", BYTES("x--bound\r\n" A_FIELD END),
     BYTES("[a]{x}1 ")},
    {"blanks after a boundary", BYTES("--bound \t \r\n" HEAD("a") "x" END), BYTES("[a]{x}1 ")},
    {"data with line ends", BYTES(OPEN HEAD("a") "\r\n\r\nx\r\n" END),
     BYTES("[a]{\r\n\r\nx\r\n}7 ")},
    {"data with lone CR and LF", BYTES(OPEN HEAD("a") "\r\r\n\n\r-\n--bound\r" END),
     BYTES("[a]{\r\r\n\n\r-\n--bound\r}15 ")},
    {"data like a boundary", BYTES(OPEN HEAD("a") "\r\n--boun\r\n--bou\r\n-\r\n--boune" END),
     BYTES("[a]{\r\n--boun\r\n--bou\r\n-\r\n--boune}27 ")},
    {"data that begins like a boundary", BYTES(OPEN HEAD("a") "--boun" END),
     BYTES("[a]{--boun}6 ")},
    {"data with a boundary inside a line", BYTES(OPEN HEAD("a") "x--bound--y" END),
     BYTES("[a]{x--bound--y}11 ")},
    {"data with NUL", BYTES(OPEN HEAD("a") "\0\0x\0" END), BYTES("[a]{\0\0x\0}4 ")},
    {"a file name", BYTES(OPEN FILE_HEAD("filename=\"a b;c.txt\"") "x" END),
     BYTES("[f](a b;c.txt){x}1 ")},
    {"an empty file name", BYTES(OPEN FILE_HEAD("filename=\"\"") END), BYTES("[f](){}0 ")},
    {"a name that is a token", BYTES(OPEN FILE_HEAD("filename=a.txt") END),
     BYTES("[f](a.txt){}0 ")},
    {"an escaped quote", BYTES(OPEN FILE_HEAD("filename=\"a\\\"b\\\\c\"") END),
     BYTES("[f](a\"b\\c){}0 ")},
    {"a quote as browsers write it", BYTES(OPEN FILE_HEAD("filename=\"a%22b%20\"") END),
     BYTES("[f](a\"b%20){}0 ")},
    {"a path of Windows", BYTES(OPEN FILE_HEAD("filename=\"C:\\dir\\a.txt\"") END),
     BYTES("[f](C:\\dir\\a.txt){}0 ")},
    {"filename* wins, last", BYTES(OPEN FILE_HEAD("filename=a; filename*=UTF-8''%e2%82%ac") END),
     BYTES("[f](\xE2\x82\xAC){}0 ")},
    {"filename* wins, first", BYTES(OPEN FILE_HEAD("filename*=utf-8'en'b; filename=a") END),
     BYTES("[f](b){}0 ")},
    {"header names in any case",
     BYTES(OPEN "content-TYPE:text/plain\r\nX-Other: 1\r\nCONTENT-DISPOSITION:form-data;NAME=a"
                "\r\n\r\nx" END),
     BYTES("[a]text/plain{x}1 ")},
    {"a coding that changes nothing",
     BYTES(OPEN "Content-Transfer-Encoding: 8bit\r\n" HEAD("a") END), BYTES("[a]{}0 ")},
};

static const struct row bad[] = {
    {"nothing", BYTES(""), BYTES("")},
    {"no boundary at all", BYTES("hello\r\n"), BYTES("")},
    {"another boundary", BYTES("--other\r\n" HEAD("a") "x\r\n--other--\r\n"), BYTES("")},
    {"no last boundary", BYTES(A_FIELD NEXT), BYTES("[a]{x}1 ")},
    {"text after a boundary", BYTES("--bound x\r\n" HEAD("a") "x" END), BYTES("")},
    {"a longer boundary", BYTES("--bounds\r\n" HEAD("a") "x" END), BYTES("")},
    {"a lone dash after a boundary", BYTES("--bound-\r\n" HEAD("a") "x" END), BYTES("")},
    {"a bare LF after a boundary", BYTES("--bound\n" HEAD("a") "x" END), BYTES("")},
    {"a bare LF, then a line end, after a boundary", BYTES("--bound\n\r\n" HEAD("a") "x" END),
     BYTES("")},
    {"a blank and a bare LF after a boundary", BYTES("--bound \n" HEAD("a") "x" END), BYTES("")},
    {"a bare CR after a boundary", BYTES("--bound\r \r\n" HEAD("a") "x" END), BYTES("")},
    {"two CR after a boundary", BYTES("--bound\r\r\n" HEAD("a") "x" END), BYTES("")},
    {"no head", BYTES(OPEN "\r\nx" END), BYTES("")},
    {"no Content-Disposition", BYTES(OPEN "Content-Type: text/plain\r\n\r\nx" END), BYTES("")},
    {"an attachment", BYTES(OPEN "Content-Disposition: attachment; name=a\r\n\r\nx" END),
     BYTES("")},
    {"no name", BYTES(OPEN "Content-Disposition: form-data\r\n\r\nx" END), BYTES("")},
    {"a file name only",
     BYTES(OPEN "Content-Disposition: form-data; filename=\"name=a\"\r\n\r\nx" END), BYTES("")},
    {"two names", BYTES(OPEN FILE_HEAD("name=b") END), BYTES("")},
    {"two file names", BYTES(OPEN FILE_HEAD("filename=a; filename=b") END), BYTES("")},
    {"two filename*", BYTES(OPEN FILE_HEAD("filename*=UTF-8''a; filename*=UTF-8''b") END),
     BYTES("")},
    {"two dispositions", BYTES(OPEN "Content-Disposition: form-data; name=a\r\n" HEAD("b") END),
     BYTES("")},
    {"an open quote", BYTES(OPEN "Content-Disposition: form-data; name=\"a\r\n\r\nx" END),
     BYTES("")},
    {"text after a quote", BYTES(OPEN FILE_HEAD("filename=\"a\"b") END), BYTES("")},
    {"a parameter without value", BYTES(OPEN FILE_HEAD("filename=") END), BYTES("")},
    {"filename* of another charset", BYTES(OPEN FILE_HEAD("filename*=latin1''a") END), BYTES("")},
    {"filename* without charset", BYTES(OPEN FILE_HEAD("filename*=a") END), BYTES("")},
    {"filename* that is badly encoded", BYTES(OPEN FILE_HEAD("filename*=UTF-8''%4") END),
     BYTES("")},
    {"bare LF in the head",
     BYTES(OPEN "Content-Type: a/b\nContent-Disposition: form-data; name=a\r\n\r\nx" END),
     BYTES("")},
    {"a head of bare LF", BYTES("--bound\r\nContent-Disposition: form-data; name=a\n\nx" END),
     BYTES("")},
    {"bare LF in a header that does not matter", BYTES(OPEN "X-A: b\nX-C: d\r\n" HEAD("a") END),
     BYTES("")},
    {"bare CR in the head", BYTES(OPEN "Content-Type: a/\rb\r\n" HEAD("a") END), BYTES("")},
    {"NUL in the head", BYTES(OPEN "Content-Type: a/\0b\r\n" HEAD("a") END), BYTES("")},
    {"a folded line", BYTES(OPEN "Content-Disposition: form-data;\r\n name=a\r\n\r\nx" END),
     BYTES("")},
    {"a blank before the colon", BYTES(OPEN "Content-Disposition : form-data; name=a\r\n\r\nx" END),
     BYTES("")},
    {"a line without colon", BYTES(OPEN "nonsense\r\n" HEAD("a") END), BYTES("")},
    {"a line without name", BYTES(OPEN ": nonsense\r\n" HEAD("a") END), BYTES("")},
    {"a coding that would be stored",
     BYTES(OPEN "Content-Transfer-Encoding: base64\r\n" HEAD("a") "eA==" END), BYTES("")},
    {"a broken second part", BYTES(A_FIELD NEXT "\r\nx" END), BYTES("[a]{x}1 ")},
};

static void a_good_form_gives_equal_events_for_every_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        check_all_cuts(good[i].name, good[i].in, ERR_OK, good[i].want);
}

static void a_broken_form_is_refused_for_every_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_all_cuts(bad[i].name, bad[i].in, ERR_BAD_INPUT, bad[i].want);
}

static void every_prefix_of_a_form_is_unfinished(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const char *last = memmem(good[i].in.p, good[i].in.n, "--bound--", 9);
        while (last > good[i].in.p && last[-1] != '\n') /* it was inside a line of data */
            last =
                memmem(last + 1, good[i].in.n - (size_t)(last + 1 - good[i].in.p), "--bound--", 9);
        size_t end = (size_t)(last - good[i].in.p) + 9;
        for (size_t n = 0; n <= good[i].in.n; n++) {
            struct rig g;
            rig_open(&g, SPAN("bound"), SIZE_MAX);
            assert_int_equal(rig_feed(&g, (struct span){good[i].in.p, n}), ERR_OK);
            assert_int_equal(rig_finish(&g), n < end ? ERR_BAD_INPUT : ERR_OK);
            rig_close(&g);
        }
    }
}

/* Ceilings: just below passes, one more is refused, in one piece and in small ones. */

static void check_ceiling(const char *name, const struct buf *form, enum err want) {
    static const size_t cuts[] = {SIZE_MAX, 1, 2, 7, 4096};
    assert_int_equal(buf_error(form), ERR_OK);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        check(name, buf_span(form), want, (struct span){NULL, 0}, cuts[i], cuts[i], SIZE_MAX);
}

static void repeat(struct buf *b, char c, size_t n) {
    while (n-- > 0)
        buf_append_byte(b, c);
}

static void a_head_has_a_ceiling(void **state) {
    (void)state;
    static const char front[] = "X: ";
    const size_t rest = sizeof front - 1 + sizeof("\r\n" HEAD("a")) - 1;
    static const size_t sizes[] = {MULTIPART_PART_HEAD_MAX_BYTES, MULTIPART_PART_HEAD_MAX_BYTES + 1,
                                   100000};
    for (size_t i = 0; i < 3; i++) {
        struct buf form;
        buf_init(&form, TRACE_MAX_BYTES);
        buf_append_text(&form, OPEN);
        buf_append_text(&form, front);
        repeat(&form, 'y', sizes[i] - rest);
        buf_append_text(&form, "\r\n" HEAD("a") END);
        check_ceiling("a long head", &form, i == 0 ? ERR_OK : ERR_BAD_INPUT);
        buf_done(&form);
    }
}

static void a_form_has_a_ceiling_of_parts(void **state) {
    (void)state;
    for (unsigned parts = MULTIPART_PARTS_MAX; parts <= MULTIPART_PARTS_MAX + 1; parts++) {
        struct buf form;
        buf_init(&form, TRACE_MAX_BYTES);
        for (unsigned i = 0; i < parts; i++)
            buf_append_text(&form, OPEN HEAD("a") "x\r\n");
        buf_append_text(&form, "--bound--");
        check_ceiling("many parts", &form, parts == MULTIPART_PARTS_MAX ? ERR_OK : ERR_BAD_INPUT);
        buf_done(&form);
    }
}

static void a_preamble_has_a_ceiling_that_no_cut_changes(void **state) {
    (void)state;
    static const struct {
        const char *line;
        size_t bytes;
        enum err want;
    } rows[] = {
        {"hello, world\r\n", 40000, ERR_OK},
        {"hello, world\r\n", 60000, ERR_OK},
        {"hello, world\r\n", 70000, ERR_BAD_INPUT},
        {"\r\n--boun", 60000, ERR_OK},
        {"\r\n--boun", 70000, ERR_BAD_INPUT},
        {"\r", 60000, ERR_OK},
        {"\r", 70000, ERR_BAD_INPUT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf form;
        buf_init(&form, TRACE_MAX_BYTES);
        while (form.n < rows[i].bytes)
            buf_append_text(&form, rows[i].line);
        buf_append_text(&form, "\r\n" A_FIELD END);
        check_ceiling("a long preamble", &form, rows[i].want);
        buf_done(&form);
    }
}

static void blanks_after_a_boundary_have_a_ceiling(void **state) {
    (void)state;
    static const size_t sizes[] = {40, 100, 20000};
    for (size_t i = 0; i < 3; i++) {
        struct buf form;
        buf_init(&form, TRACE_MAX_BYTES);
        buf_append_text(&form, "--bound");
        repeat(&form, ' ', sizes[i]);
        buf_append_text(&form, "\r\n" HEAD("a") END);
        check_ceiling("many blanks", &form, i == 0 ? ERR_OK : ERR_BAD_INPUT);
        buf_done(&form);
    }
}

/* Callbacks that fail */

static enum err refuse_part(void *context, const struct multipart_part *part, struct error *error) {
    (void)part;
    return *(int *)context == 0 ? error_set(error, ERR_BUSY, "no part") : ERR_OK;
}

static enum err refuse_data(void *context, struct span data, size_t *taken, struct error *error) {
    *taken = data.n;
    return *(int *)context == 1 ? error_set(error, ERR_TOO_LARGE, "no data") : ERR_OK;
}

static enum err refuse_end(void *context, struct error *error) {
    return *(int *)context == 2 ? error_set(error, ERR_CANCELLED, "no end") : ERR_OK;
}

static void the_error_of_a_callback_comes_back(void **state) {
    (void)state;
    static const enum err want[] = {ERR_BUSY, ERR_TOO_LARGE, ERR_CANCELLED, ERR_OK};
    for (int which = 0; which < 4; which++) {
        struct multipart_events events = {refuse_part, refuse_data, refuse_end, &which};
        struct multipart *m = multipart_new(SPAN("bound"), &events);
        struct error error = {.err = ERR_OK};
        size_t taken = 0;
        assert_non_null(m);
        assert_int_equal(multipart_feed(m, SPAN(A_FIELD END), &taken, &error), want[which]);
        assert_int_equal(error.err, want[which]);
        assert_true(taken <= sizeof(A_FIELD END) - 1);
        multipart_free(m);
    }
    multipart_free(NULL);
}

/* Property: what was put into a form comes out, whatever it looks like. */

static void append_boundary(struct buf *b, uint64_t *random) {
    static const char bytes[] = "-b'()+_,./:=? Z09";
    size_t n = 1 + (size_t)draw(random, draw(random, 2) == 0 ? 3 : MULTIPART_BOUNDARY_MAX_BYTES);
    for (size_t i = 0; i < n; i++)
        buf_append_byte(b, bytes[draw(random, sizeof bytes - 1)]);
    if (b->p[b->n - 1] == ' ')
        b->p[b->n - 1] = '-';
}

/* Scraps of the delimiter, line ends and noise, but never the delimiter, which "\r\n" in front of
 * the data could also begin. */
static void append_data(struct buf *form, struct buf *trace, struct span delimiter,
                        uint64_t *random) {
    struct buf data;
    bool found = true;
    size_t scraps = (size_t)draw(random, 12);
    buf_init(&data, TRACE_MAX_BYTES);
    while (found) {
        buf_clear(&data);
        buf_append_text(&data, "\r\n");
        for (size_t i = 0; i < scraps; i++) {
            size_t n = (size_t)draw(random, delimiter.n);
            size_t from = draw(random, 4) == 0 ? (size_t)draw(random, delimiter.n - n) : 0;
            buf_append(&data, (struct span){delimiter.p + from, n});
            if (draw(random, 2) == 0)
                buf_append_byte(&data, (char)draw(random, 256));
        }
        found = memmem(data.p, data.n, delimiter.p, delimiter.n) != NULL;
    }
    struct span bytes = span_from(buf_span(&data), 2);
    buf_append(form, bytes);
    buf_append(trace, bytes);
    buf_append_format(trace, "}%zu ", bytes.n);
    buf_done(&data);
}

static void build_form(struct buf *boundary, struct buf *form, struct buf *trace,
                       uint64_t *random) {
    struct buf delimiter;
    buf_init(&delimiter, 128);
    append_boundary(boundary, random);
    buf_append_text(&delimiter, "\r\n--");
    buf_append(&delimiter, buf_span(boundary));
    size_t parts = (size_t)draw(random, 4);
    for (size_t i = 0; i < parts; i++) {
        buf_append(form, span_from(buf_span(&delimiter), i == 0 ? 2 : 0));
        buf_append_text(form, "\r\n" HEAD("p"));
        buf_append_text(trace, "[p]{");
        append_data(form, trace, buf_span(&delimiter), random);
    }
    buf_append(form, span_from(buf_span(&delimiter), parts == 0 ? 2 : 0));
    buf_append_text(form, "--");
    buf_done(&delimiter);
}

static void what_was_put_into_a_form_comes_out(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        uint64_t random = seed;
        struct buf boundary;
        struct buf form;
        struct buf trace;
        struct rig g;
        buf_init(&boundary, MULTIPART_BOUNDARY_MAX_BYTES);
        buf_init(&form, TRACE_MAX_BYTES);
        buf_init(&trace, TRACE_MAX_BYTES);
        build_form(&boundary, &form, &trace, &random);
        rig_open(&g, buf_span(&boundary), draw(&random, 2) == 0 ? SIZE_MAX : 1 + seed % 3);
        struct span rest = buf_span(&form);
        while (rest.n > 0) {
            size_t n = (size_t)draw(&random, draw(&random, 2) == 0 ? 6 : rest.n + 1);
            n = n < rest.n ? n : rest.n;
            if (rig_feed(&g, (struct span){rest.p, n}) != ERR_OK)
                fail_msg("seed %llu is refused", (unsigned long long)seed);
            rest = span_from(rest, n);
        }
        assert_int_equal(rig_finish(&g), ERR_OK);
        check_trace(&g, "a form of a seed", buf_span(&trace));
        rig_close(&g);
        buf_done(&boundary);
        buf_done(&form);
        buf_done(&trace);
    }
}

/* Content-Type */

#define SEVENTY "0123456789012345678901234567890123456789012345678901234567890123456789"

static void a_boundary_is_read_or_refused(void **state) {
    (void)state;
    static const struct {
        const char *in;
        enum err err;
        const char *want;
    } rows[] = {
        {"multipart/form-data; boundary=abc", ERR_OK, "abc"},
        {"Multipart/Form-Data;BOUNDARY=abc", ERR_OK, "abc"},
        {"multipart/form-data ; charset=utf-8 ; boundary=abc ; x=y", ERR_OK, "abc"},
        {"multipart/form-data; boundary=\"a b:c\"", ERR_OK, "a b:c"},
        {"multipart/form-data; boundary=\"a\\\"b\"", ERR_OK, "a\"b"},
        {"multipart/form-data; boundary=----WebKitFormBoundary7MA4", ERR_OK,
         "----WebKitFormBoundary7MA4"},
        {"multipart/form-data; x=\"; boundary=no\"; boundary=yes", ERR_OK, "yes"},
        {"multipart/form-data; boundary=" SEVENTY, ERR_OK, SEVENTY},
        {"multipart/form-data; boundary=" SEVENTY "0", ERR_BAD_INPUT, NULL},
        {"multipart/form-data", ERR_BAD_INPUT, NULL},
        {"multipart/form-data;", ERR_BAD_INPUT, NULL},
        {"multipart/form-data; boundary", ERR_BAD_INPUT, NULL},
        {"multipart/form-data; boundary=", ERR_BAD_INPUT, NULL},
        {"multipart/form-data; boundary=\"\"", ERR_BAD_INPUT, NULL},
        {"multipart/form-data; boundary=\"abc", ERR_BAD_INPUT, NULL},
        {"multipart/form-data; boundary=\"abc \"", ERR_BAD_INPUT, NULL},
        {"multipart/form-data; boundary=\"a\tb\"", ERR_BAD_INPUT, NULL},
        {"multipart/form-data; boundary=\"a\xC3\xA4\"", ERR_BAD_INPUT, NULL},
        {"multipart/form-data; boundary=a; boundary=b", ERR_BAD_INPUT, NULL},
        {"multipart/form-data; xboundary=abc", ERR_BAD_INPUT, NULL},
        {"multipart/form-data, boundary=abc", ERR_NOT_FOUND, NULL},
        {"multipart/mixed; boundary=abc", ERR_NOT_FOUND, NULL},
        {"text/plain", ERR_NOT_FOUND, NULL},
        {"", ERR_NOT_FOUND, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char scratch[MULTIPART_BOUNDARY_MAX_BYTES];
        struct span boundary = {NULL, 0};
        enum err e = multipart_boundary(span_of(rows[i].in), scratch, &boundary);
        if (e != rows[i].err || (e == ERR_OK && !span_eq(boundary, span_of(rows[i].want))))
            fail_msg("%s: got %s %.*s", rows[i].in, err_name(e), (int)boundary.n,
                     boundary.n == 0 ? "" : boundary.p);
    }
}

static void a_boundary_of_2000_bytes_is_refused(void **state) {
    (void)state;
    char scratch[MULTIPART_BOUNDARY_MAX_BYTES];
    struct span boundary = {NULL, 0};
    struct buf value;
    buf_init(&value, 4096);
    buf_append_text(&value, "multipart/form-data; boundary=");
    repeat(&value, 'b', 2000);
    assert_int_equal(multipart_boundary(buf_span(&value), scratch, &boundary), ERR_BAD_INPUT);
    buf_done(&value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_form_gives_equal_events_for_every_cut),
        cmocka_unit_test(a_broken_form_is_refused_for_every_cut),
        cmocka_unit_test(every_prefix_of_a_form_is_unfinished),
        cmocka_unit_test(a_head_has_a_ceiling),
        cmocka_unit_test(a_form_has_a_ceiling_of_parts),
        cmocka_unit_test(a_preamble_has_a_ceiling_that_no_cut_changes),
        cmocka_unit_test(blanks_after_a_boundary_have_a_ceiling),
        cmocka_unit_test(the_error_of_a_callback_comes_back),
        cmocka_unit_test(what_was_put_into_a_form_comes_out),
        cmocka_unit_test(a_boundary_is_read_or_refused),
        cmocka_unit_test(a_boundary_of_2000_bytes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
