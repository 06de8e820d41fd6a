#include "agent/sensors/procfs.h"
