#ifndef ECSGUARD_BATCH_H
#define ECSGUARD_BATCH_H

#endif
