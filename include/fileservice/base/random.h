/* Randomness for waits that must not coincide. Any thread. */
#ifndef FILESERVICE_BASE_RANDOM_H
#define FILESERVICE_BASE_RANDOM_H

/* At least 0, less than 1. Never blocks: without randomness it is close to 1, the longest wait, which is
 * still right, only less spread. */
double random_fraction(void);

#endif
