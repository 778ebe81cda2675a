#include "fileservice/base/secret.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

void secret_wipe(void *p, size_t n) {
    if (p != NULL && n > 0)
        explicit_bzero(p, n);
}

void secret_free(char *text) {
    if (text == NULL)
        return;
    secret_wipe(text, strlen(text));
    free(text);
}
