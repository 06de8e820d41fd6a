#include "agent/sensors/procfs_decode.h"
