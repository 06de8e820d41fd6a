#ifndef ECSGUARD_PROCFS_H
#define ECSGUARD_PROCFS_H

#endif
