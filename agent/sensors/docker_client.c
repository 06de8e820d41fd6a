#include "agent/sensors/docker_client.h"
