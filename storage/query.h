#ifndef ECSGUARD_QUERY_H
#define ECSGUARD_QUERY_H

#endif
