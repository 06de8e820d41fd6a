#include "agent/sensors/exec_sensor.h"
