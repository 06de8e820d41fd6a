/* Marks of fanotify(7) on what is open: whatever a path leads to by now, the right thing is marked or nothing. */
#ifndef ECSGUARD_FAN_MARK_H
#define ECSGUARD_FAN_MARK_H

#include <stdint.h>

/* fanotify_mark(2) on what the descriptor `fd`, O_PATH or not, is open on. 0 or -errno. */
int fan_mark(int group_fd, unsigned flags, uint64_t mask, int fd);

/* Events on this inode are never told to the group, whatever else is marked, and however often it is written. 0 or -errno. */
int fan_mark_ignored(int group_fd, uint64_t mask, int fd);

#endif
