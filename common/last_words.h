/* A line in the log from a process that is about to die of a signal. What cannot be told so: SIGKILL (out of memory), which the next start tells. */
#ifndef ECSGUARD_LAST_WORDS_H
#define ECSGUARD_LAST_WORDS_H

/* For every signal that would end this process and that nobody handles: writes "SUBSYSTEM: ended by signal 11 (SIGSEGV) ..." to standard error,
 * then lets it end the process. SIGPIPE is ignored. Call before threads start. `subsystem` is a string literal. */
void last_words_prepare(const char *subsystem);

#endif
