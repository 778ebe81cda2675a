/* Last include of every .c file: functions that have no ceiling, no error or hidden state do not
 * compile here. */
#ifndef FILESERVICE_BASE_BANNED_H
#define FILESERVICE_BASE_BANNED_H

#pragma GCC poison atoi atol atoll atof strtok sscanf sprintf vsprintf strcpy strcat strncpy strncat
#pragma GCC poison gmtime localtime ctime asctime gets

#endif
