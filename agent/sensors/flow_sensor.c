#include "agent/sensors/flow_sensor.h"
