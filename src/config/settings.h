/* The table of settings: one row drives reading, checking, printing and freeing of one setting.
 * Private to this room. */
#ifndef FILESERVICE_CONFIG_SETTINGS_H
#define FILESERVICE_CONFIG_SETTINGS_H

#include "fileservice/config/config.h"

#define SETTING_VALUE_MAX_BYTES 1048576 /* a file of keys; one variable has 128 KiB on Linux */
#define SETTING_DEFAULT_MAX_BYTES 512   /* text of a default; the longest is an endpoint */
#define SETTING_ITEMS_MAX 10000         /* of one list */

enum setting_kind {
    SETTING_TEXT,     /* char * */
    SETTING_NUMBER,   /* an unsigned integer of `size` bytes */
    SETTING_WORD,     /* one of `words`, stored like a number: an enum or a bool */
    SETTING_ENDPOINT, /* struct url_endpoint */
    SETTING_LIST,     /* struct config_list of texts */
    SETTING_ORIGINS,  /* cors_any and a struct config_list */
    SETTING_CIDRS,    /* trusted_proxies and trusted_proxy_count */
};

/* A word and the number it stands for; a row with NULL ends the list. Of two words for one number
 * the first is printed. */
struct setting_word {
    const char *word;
    unsigned value;
};

struct setting {
    const char *name;
    const char *other_name; /* read when `name` is unset; NULL when there is none */
    enum setting_kind kind;
    bool secret;
    bool required;
    size_t offset; /* of the field in struct config */
    size_t size;   /* of the field */
    /* The default: a text that is read like a value, or a function that appends one; appending
     * nothing, or neither of them, leaves the field empty. */
    const char *initial;
    void (*derive)(const struct config *c, unsigned cpus, struct buf *out);
    uint64_t min; /* of a number */
    uint64_t max;
    const struct setting_word *words;
    bool (*is_good)(struct span s); /* of a text or of one item of a list */
    const char *rule;               /* what is_good wants: "must be ..." */
};

extern const struct setting settings[];
extern const size_t settings_count;

/* The row of a name; NULL when there is none. */
const struct setting *settings_find(const char *name);

/* Reads `value` into the row's field. ERR_BAD_INPUT with a sentence that never quotes the value, or
 * ERR_NO_MEMORY. The field is then empty or holds what config_done() can free. */
enum err setting_read(const struct setting *s, struct span value, struct config *c,
                      struct error *error) __attribute__((warn_unused_result));
void setting_print(const struct setting *s, const struct config *c, struct buf *out);
void setting_done(const struct setting *s, struct config *c); /* wipes, frees, empties the field */

/* Lists: items stand between commas or line ends, blanks around them do not count, empty ones are
 * left out; a list without any item is a fault, because an empty list often means "all". */

/* Appends the items of `value` to `list`; `rule` ends the sentence about a bad one. */
enum err lists_read(struct span value, bool (*is_good)(struct span), const char *rule,
                    struct config_list *list, struct error *error)
    __attribute__((warn_unused_result));
/* Origins in the form browsers send them: lower case, without the scheme's own port. */
enum err lists_read_origins(struct span value, bool *any, struct config_list *list,
                            struct error *error) __attribute__((warn_unused_result));
/* "10.0.0.0/8", "2001:db8::/32", or an address alone. Bits after the prefix are cleared. */
enum err lists_read_cidrs(struct span value, struct config_cidr **items, size_t *count,
                          struct error *error) __attribute__((warn_unused_result));
void lists_print(const struct config_list *list, struct buf *out);
void lists_print_cidrs(const struct config_cidr *items, size_t count, struct buf *out);
void lists_done(struct config_list *list); /* wipes and frees */

/* Rules of texts. Pure. */
bool rule_is_path(struct span s);
bool rule_is_key(struct span s); /* visible bytes, no blank among them */
bool rule_is_region(struct span s);
bool rule_is_owner(struct span s);
bool rule_is_log_group(struct span s);
bool rule_is_host(struct span s);
bool rule_is_bucket(struct span s);
bool rule_is_bucket_prefix(struct span s);

#endif
