#include "settings.h"

#include "fileservice/base/secret.h"

#include "fileservice/base/banned.h"

void config_print(const struct config *c, struct buf *out) {
    for (size_t i = 0; i < settings_count; i++) {
        buf_append_format(out, "%s=", settings[i].name);
        setting_print(&settings[i], c, out);
        buf_append_byte(out, '\n');
    }
}

void config_done(struct config *c) {
    if (c == NULL)
        return;
    for (size_t i = 0; i < settings_count; i++)
        setting_done(&settings[i], c);
    secret_wipe(c, sizeof *c);
}
