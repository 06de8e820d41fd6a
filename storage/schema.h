#ifndef ECSGUARD_SCHEMA_H
#define ECSGUARD_SCHEMA_H

#endif
