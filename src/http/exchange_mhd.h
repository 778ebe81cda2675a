/* What MHD's callbacks and the connection see of an exchange. Private to the room. */
#ifndef FILESERVICE_SRC_HTTP_EXCHANGE_MHD_H
#define FILESERVICE_SRC_HTTP_EXCHANGE_MHD_H

#include "connection.h"

/* MHD_OPTION_URI_LOG_CALLBACK: an exchange is born, with the raw request target. */
void *exchange_on_target(void *context, const char *target, struct MHD_Connection *mhd);
/* MHD_AccessHandlerCallback */
enum MHD_Result exchange_on_access(void *context, struct MHD_Connection *mhd, const char *url,
                                   const char *method, const char *version, const char *data,
                                   size_t *size, void **request);
/* MHD_OPTION_NOTIFY_COMPLETED: the one place where an exchange is freed. */
void exchange_on_completed(void *context, struct MHD_Connection *mhd, void **request,
                           enum MHD_RequestTerminationCode code);

/* Whether the request line has come, but not all of the headers. */
bool exchange_is_in_head(const struct exchange *x);
/* While the body comes: bytes taken, and bytes MHD holds that we did not take. False when no body is
 * awaited. */
bool exchange_awaits_body(const struct exchange *x);
uint64_t exchange_received(const struct exchange *x);
size_t exchange_unread(const struct exchange *x);
/* Whether an answer is being streamed, and how many bytes of it MHD has taken. */
bool exchange_streams(const struct exchange *x);
uint64_t exchange_streamed(const struct exchange *x);
/* Milliseconds since this was asked last in which we held the client back, or let it wait. */
uint64_t exchange_take_held_ms(struct exchange *x);
bool exchange_is_chunked(const struct exchange *x);
/* The client closed its side before the body was whole: no more bytes will come than are queued. */
void exchange_body_was_cut(struct exchange *x);
/* Lets MHD go on with a suspended connection, so that it notices what happened to the socket. */
void exchange_release(struct exchange *x);

#endif
