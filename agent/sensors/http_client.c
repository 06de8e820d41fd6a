#include "agent/sensors/http_client.h"
