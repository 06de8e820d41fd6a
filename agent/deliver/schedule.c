#include "agent/deliver/schedule.h"
