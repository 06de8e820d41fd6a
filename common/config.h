#ifndef ECSGUARD_CONFIG_H
#define ECSGUARD_CONFIG_H

#endif
