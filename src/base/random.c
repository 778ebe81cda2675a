#include "fileservice/base/random.h"

#include <stdint.h>
#include <sys/random.h>

#include "fileservice/base/banned.h"

double random_fraction(void) {
    uint32_t r = 0;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) != (ssize_t)sizeof r)
        return 0.999;
    return (double)r / 4294967296.0;
}
