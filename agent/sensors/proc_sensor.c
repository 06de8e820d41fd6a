#include "agent/sensors/proc_sensor.h"
