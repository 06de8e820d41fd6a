#ifndef ECSGUARD_STORE_H
#define ECSGUARD_STORE_H

#endif
