#include "agent/replay.h"
