#include "agent/sensors/file_sensor.h"
