#include "agent/sensors/proc_decode.h"
