#include "agent/sensors/ecs_client.h"
