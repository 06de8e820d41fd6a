#include "agent/sensors/container_sensor.h"
