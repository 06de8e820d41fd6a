/* The threads beside the loop. */
#ifndef ECSGUARD_THREAD_H
#define ECSGUARD_THREAD_H

#include <pthread.h>

/* Starts a thread named `name` (15 bytes at most) that takes no signals, which are the loop's, but those of its own crash: last_words.h tells
 * of them. 0 or -errno. */
int thread_start(pthread_t *thread, void *(*function)(void *), void *arg, const char *name);

#endif
