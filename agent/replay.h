#ifndef ECSGUARD_REPLAY_H
#define ECSGUARD_REPLAY_H

#endif
