#ifndef ECSGUARD_AGENT_H
#define ECSGUARD_AGENT_H

#endif
