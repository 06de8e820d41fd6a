#ifndef ECSGUARD_INTEL_H
#define ECSGUARD_INTEL_H

#endif
