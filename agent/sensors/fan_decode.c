#include "agent/sensors/fan_decode.h"
