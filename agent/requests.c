#include "agent/requests.h"
