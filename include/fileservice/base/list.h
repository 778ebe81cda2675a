/* Intrusive doubly linked list. The node lives inside the thing; the list owns nothing.
 *
 * A node that is in no list points at itself, so list_remove() may be called at any time. */
#ifndef FILESERVICE_BASE_LIST_H
#define FILESERVICE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list *l) {
    l->next = l;
    l->prev = l;
}

static inline bool list_is_empty(const struct list *l) { return l->next == l; }

static inline void list_append(struct list *head, struct list *node) {
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_remove(struct list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

#endif
