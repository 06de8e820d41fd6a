#include "agent/sensors/ct_decode.h"
